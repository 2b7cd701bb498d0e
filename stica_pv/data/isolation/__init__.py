"""Worker processes that read files, so that a file that crashes or hangs costs one sample."""
