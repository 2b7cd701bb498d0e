"""Generated files whose frames and audio encode their times, for `stica_pv.commands.check_reader`."""
