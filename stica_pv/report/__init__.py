"""Reports of runs: one self-contained HTML file each, without a server or network access."""
