"""What an evaluation asks to be extracted from each item."""
