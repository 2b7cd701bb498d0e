"""User names, passwords and tokens in URIs: used, but never written."""

import os
import re

_USER = re.compile(r"(?<=://)[^\s/?#'\"]*@")
KEPT_IN = {"MLFLOW.TRACKING_URI": "MLFLOW_TRACKING_URI"}
"""Keys of URIs that may hold credentials, and the variable of the environment that keeps the whole URI."""


def without_credentials(text: str) -> str:
    """Returns a text without the credentials of its URIs: ``https://user:password@host`` becomes ``https://host``."""
    return _USER.sub("", text)


def keep_credentials(key: str, uri: str) -> str:
    """Returns a URI without its credentials; the environment, inherited by processes and jobs, keeps the whole URI.

    Args:
        key: One of `KEPT_IN`.
        uri: Value of the key.
    """
    shown = without_credentials(uri)
    if shown != uri:
        os.environ[KEPT_IN[key]] = uri
    return shown


def with_credentials(key: str, uri: str) -> str:
    """Returns the whole URI of a key if the environment has it, else `uri`."""
    whole = os.environ.get(KEPT_IN[key], "")
    return whole if without_credentials(whole) == uri else uri
