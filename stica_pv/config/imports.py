"""Modules of the user, which declare keys and register components: found in the settings and imported before these."""

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from stica_pv.config.node import CfgNode, pairs_of, set_key
from stica_pv.config.yaml_text import parse_yaml
from stica_pv.errors import UsageError

KEY = "CUSTOM_IMPORTS"


def import_components(modules: Iterable[str], *, source: str = KEY) -> None:
    """Imports the modules that the user named, so that they declare their keys and register their components.

    Raises:
        UsageError: A module does not exist; the message begins with `source`.
    """
    for name in modules:
        if not all(part.isidentifier() for part in str(name).split(".")):
            raise UsageError(f"{source}: expected module names such as my_package.my_module, got {name!r}")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(f"{source}: {name}: {error}; is its folder in PYTHONPATH?") from error


def named_imports(settings: Iterable[tuple[str, str, Any]], overrides: Sequence[str]) -> list[str]:
    """Returns the modules of CUSTOM_IMPORTS before any other key is judged.

    Args:
        settings: File, key and value of each setting in files.
        overrides: Alternating keys and values of the command line, which count more.

    Raises:
        UsageError: The value of CUSTOM_IMPORTS is wrong.
    """
    cfg = CfgNode({KEY: []})
    for file, key, value in settings:
        if key == KEY:
            set_key(cfg, KEY, value, source=f"{file}: ")
    for key, text in pairs_of(overrides):
        if key == KEY:
            set_key(cfg, KEY, parse_yaml(text, source=f"{key} {text}"))
    return list(cfg[KEY])
