"""Its presence puts this folder on the import path, for helpers such as `planted_features` in the folders below."""
