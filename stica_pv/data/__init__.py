"""Files on a disk to batches of clips; importing it registers the data sources."""

from stica_pv.data.sources import official, sources

__all__ = ["official", "sources"]
