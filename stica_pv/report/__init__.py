"""Pages that show a run to a person: one self-contained HTML file each, without a server or a network."""
