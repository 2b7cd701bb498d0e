"""Differences between PyAV versions; no other module depends on the version."""

from typing import Any

import av


def open_options(version: str) -> dict[str, Any]:
    """Return the arguments of `av.open` for reading, such that metadata of any encoding are accepted.

    Args:
        version: Version of PyAV. Since 19, PyAV has no argument ``metadata_errors`` and always replaces.
    """
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


OPEN_OPTIONS = open_options(av.__version__)
