"""Its presence puts this folder on the import path, for `slow_stica`."""
