"""STiCA (ICCV 2021): contrast between video and audio, with crops in feature space."""
