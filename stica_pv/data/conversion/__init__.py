"""Low-resolution copies, optical flow and shards of a data set."""
