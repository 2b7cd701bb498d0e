"""From media files to batches of clips; importing this package registers the data sources."""

from stica_pv.data.loading.resumable import ResumableLoader, create_loader
from stica_pv.data.sources import official, sources
from stica_pv.transforms.windows import random_clip

__all__ = ["ResumableLoader", "create_loader", "official", "random_clip", "sources"]
