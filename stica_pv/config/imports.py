"""Modules outside the package, which declare keys and register components; they are imported before any key is judged.

A module is imported because the user names it (CUSTOM_IMPORTS, ``--import``), or because an installed package offers it
as a plugin. A file alone, such as a checkpoint, never has a module imported.
"""

import importlib
import os
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any

from stica_pv.command_line import IMPORTS
from stica_pv.config.node import CfgNode, pairs_of, set_key
from stica_pv.config.yaml_text import parse_yaml
from stica_pv.errors import UsageError

KEY = "CUSTOM_IMPORTS"
PLUGINS = "stica_pv.plugins"
"""Group of entry points: each names a module of an installed package."""


def allowed_modules() -> set[str]:
    """Returns the modules that any file may use: those of ``--import``, and plugins."""
    return {*_given(), *load_plugins()}


def all_imports(modules: Iterable[str]) -> list[str]:
    """Returns the modules of CUSTOM_IMPORTS together with those of ``--import``."""
    return list(dict.fromkeys([*modules, *_given()]))


def _given() -> list[str]:
    return [name for name in os.environ.get(IMPORTS, "").split(",") if name]


@cache
def load_plugins() -> tuple[str, ...]:
    """Imports the modules that installed packages offer, and returns their names.

    Raises:
        UsageError: One of them cannot be imported.
    """
    names = []
    for point in sorted(entry_points(group=PLUGINS), key=lambda one: one.name):
        package = point.dist.name if point.dist else point.value
        advice = "; update or uninstall it"
        _run_foreign(point.load, f"plugin {point.name} of the package {package} cannot be imported", advice, advice)
        names.append(point.module)
    return tuple(names)


def import_components(modules: Iterable[str], *, source: str = KEY) -> None:
    """Imports the modules that the user named, so that they declare their keys and register their components.

    Plugins and the modules of ``--import`` are imported before them.

    Raises:
        UsageError: A module does not exist or raises an error; the message begins with `source`.
    """
    load_plugins()
    for named_by, name in [*(("--import", name) for name in _given()), *((source, name) for name in modules)]:
        if not all(part.isidentifier() for part in str(name).split(".")):
            raise UsageError(f"{named_by}: expected module names such as my_package.my_module, got {name!r}")
        load = partial(importlib.import_module, name)
        _run_foreign(load, f"{named_by}: {name}", "; is its folder in PYTHONPATH?")


def _run_foreign(load: Callable[[], object], what: str, advice_if_missing: str, advice: str = "") -> None:
    """Imports a module of others; whatever it raises becomes one line.

    Raises:
        UsageError: The module, or one that it needs, does not exist; or it raises an error, which the message locates.
    """
    try:
        load()
    except UsageError:  # of a declaration; it says what to do
        raise
    except ModuleNotFoundError as error:
        raise UsageError(f"{what}: {error}{advice_if_missing}") from error
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        raise UsageError(f"{what}: {_describe(error)}{advice}") from error


def _describe(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    found_at = "" if isinstance(error, SyntaxError) else f" ({last.filename}:{last.lineno})"  # its text has the line
    return f"{type(error).__name__}: {error}{found_at}"


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
