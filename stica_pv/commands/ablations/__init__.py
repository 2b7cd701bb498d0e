"""Grids of runs, and the statistics of their results, for `stica_pv.commands.ablation`."""
