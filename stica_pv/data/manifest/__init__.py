"""Media information of every listed file, and the list that a run uses."""
