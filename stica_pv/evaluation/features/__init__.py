"""Features of every item, made once and kept."""
