"""User names, passwords and tokens within URIs: they are used, and never written."""

import os
import re

_USER = re.compile(r"(?<=://)[^\s/?#'\"]*@")
KEPT_IN = {"MLFLOW.TRACKING_URI": "MLFLOW_TRACKING_URI"}
"""Keys of URIs that may hold credentials, and the variable of the environment that keeps the whole URI."""


def without_credentials(text: str) -> str:
    """Returns a text with what stands before the host of each URI cut out: ``https://user:password@host``."""
    return _USER.sub("", text)


def keep_credentials(key: str, uri: str) -> str:
    """Returns a URI without its credentials; the whole one goes into the environment, which processes and jobs inherit.

    Args:
        key: One of `KEPT_IN`.
        uri: Its value.
    """
    shown = without_credentials(uri)
    if shown != uri:
        os.environ[KEPT_IN[key]] = uri
    return shown


def with_credentials(key: str, uri: str) -> str:
    """Returns the whole URI of a key, where the environment keeps it."""
    whole = os.environ.get(KEPT_IN[key], "")
    return whole if without_credentials(whole) == uri else uri
