"""The commands of the console program, one module each; `stica_pv.commands.program` finds them by name."""
