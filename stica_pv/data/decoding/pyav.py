"""Differences between PyAV versions; no other module asks which one is installed."""

from typing import Any

import av


def open_options(version: str) -> dict[str, Any]:
    """Returns the arguments of `av.open` for reading, so that metadata of any encoding are accepted.

    Args:
        version: Version of PyAV. From 19 on, PyAV has no argument ``metadata_errors`` and replaces by itself.
    """
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


OPEN_OPTIONS = open_options(av.__version__)
