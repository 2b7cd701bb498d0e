"""Protocols on frozen features, one file each, and the classifiers and rankings that they share."""
