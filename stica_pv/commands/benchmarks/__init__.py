"""Measurements of parts of the package next to their alternatives, for `stica_pv.commands.benchmark`."""
