"""CVRL (CVPR 2021): contrast between two windows of a video."""
