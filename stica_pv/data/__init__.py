"""From media files to batches of clips; importing this package registers the data sources."""

from stica_pv.data.sources import official, sources

__all__ = ["official", "sources"]
