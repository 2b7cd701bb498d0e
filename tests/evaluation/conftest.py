"""Its presence puts this folder on the import path, for modules such as `planted_features` in the folders below."""
