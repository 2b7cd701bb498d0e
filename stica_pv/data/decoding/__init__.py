"""Exact reading of frames and audio from media files."""
