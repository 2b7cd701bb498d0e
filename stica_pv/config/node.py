"""Strict configuration: every key is declared with a default; an unknown key is an error that names the nearest one.

The node is fvcore's `CfgNode`. Reading (``_BASE_``, as in SlowFast) and merging are our own, because yacs reports an
unknown key as a bare `KeyError`, refuses an integer for a float, and keeps the last of two equal keys.
"""

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from stica_pv.config.renamed import RENAMED_KEYS, RENAMED_VALUES
from stica_pv.config.slowfast import FOREIGN_KEYS, USUAL_NAMES
from stica_pv.config.yaml_text import flatten, parse_settings, parse_yaml
from stica_pv.credentials import KEPT_IN, keep_credentials, without_credentials
from stica_pv.errors import UsageError, nearest
from stica_pv.recipe_files import recipe_file, recipe_names

BASE = "_BASE_"
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # YAML 1.1 reads 1e-5 as a string
DECLARED_LISTS = "_declared_lists"  # attribute of a configuration: default lists of keys that were set since

__all__ = ["CfgNode", "apply_overrides", "flatten", "keys_in_file", "merge_file", "section", "with_keys"]


def section(cfg: CfgNode, name: str) -> CfgNode:
    """Returns the node `name` of `cfg`, made on first use, so that several components can declare keys in it."""
    if name not in cfg:
        cfg[name] = CfgNode()
    return cfg[name]


def merge_file(cfg: CfgNode, path: str | os.PathLike[str]) -> None:
    """Merges a YAML file (and the files its ``_BASE_`` names) into `cfg`, in place.

    Raises:
        UsageError: The file is missing or not a YAML mapping, or a key or type is wrong.
    """
    for source, key, value in read_settings(path):
        set_key(cfg, key, value, source=f"{source}: ")


def read_settings(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, Any]]:
    """Yields (file, key, value) of a YAML file, after those of the files that its ``_BASE_`` names, files or recipes.

    Raises:
        UsageError: A file is missing or not a YAML mapping.
    """
    if not Path(path).is_file():
        raise UsageError(f"--cfg {path}: there is no such file")
    yield from _settings(str(path), ())


def _settings(path: str, above: tuple[str, ...]) -> Iterator[tuple[str, str, Any]]:
    own = os.path.realpath(path)
    if own in above:
        raise UsageError(f"{path}: its _BASE_ includes the file itself")
    settings = parse_settings(_text_of(path), source=path)
    bases = [base for key, value in settings if key == BASE for base in (value if isinstance(value, list) else [value])]
    for base in bases:
        if not isinstance(base, str):
            raise UsageError(f"{path}: expected _BASE_ to name a file, got {base!r}")
        yield from _settings(_base_file(path, base), (*above, own))
    yield from ((path, key, value) for key, value in settings if key != BASE)


def _base_file(path: str, base: str) -> str:
    """Returns the file that ``_BASE_`` names: relative to the file itself, or a recipe such as ``stica/k400``."""
    relative = os.path.join(os.path.dirname(path), os.path.expanduser(base))
    found = relative if Path(relative).is_file() else recipe_file(base)
    if found is None:
        raise UsageError(
            f"{path}: its _BASE_ cannot be read: there is no file {relative}, and no recipe {base}"
            f"{nearest(base, recipe_names())}"
        )
    return str(found)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8: {error}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def keys_in_file(path: str | os.PathLike[str]) -> list[str]:
    """Returns the dotted keys that a YAML file sets itself, without its ``_BASE_``, after `merge_file` accepted it."""
    return [key for key, _ in parse_settings(_text_of(str(path)), source=str(path)) if key != BASE]


def apply_overrides(cfg: CfgNode, overrides: Sequence[str]) -> None:
    """Applies ``[KEY, VALUE, KEY, VALUE, …]`` as typed on the command line, in place; the last value of a key counts.

    A value is parsed as in a file, for example ``[knn, svm]``; for a text key it is taken as it is.

    Raises:
        UsageError: Odd number of arguments, unknown key, wrong type.
    """
    for key, text in pairs_of(overrides):
        default = dict(flatten(cfg)).get(key)
        set_key(cfg, key, text if isinstance(default, str) else parse_yaml(text, source=f"{key} {text}"))


def pairs_of(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Returns pairs (key, value) of arguments.

    Raises:
        UsageError: Odd number of arguments.
    """
    if len(overrides) % 2:
        joined = next((text for text in overrides if "=" in text), None)
        hint = f"write {joined.replace('=', ' ', 1)}" if joined else "quote lists, as in SOLVER.STEPS '[10, 20]'"
        raise UsageError(
            f"overrides are pairs KEY VALUE, got {len(overrides)} arguments, the last one {overrides[-1]!r} ({hint})"
        )
    return list(zip(overrides[::2], overrides[1::2], strict=True))


def set_key(cfg: CfgNode, key: str, value: Any, *, source: str = "") -> None:
    """Sets one dotted key after checking that it exists and that the type fits its default."""
    known = dict(flatten(cfg))
    check_known(key, known, source=source)
    default = known[key]
    if isinstance(default, list):  # only the declared items define the type: items set since may be of another
        default = cfg.__dict__.setdefault(DECLARED_LISTS, {}).setdefault(key, default)
    node = cfg
    *parents, leaf = key.split(".")
    for parent in parents:
        node = node[parent]
    value = _checked(key, value, default, source)
    _check_value_name(key, value, source)
    node[leaf] = _without_credentials(key, value, source)


def _check_value_name(key: str, value: Any, source: str) -> None:
    """Raises `UsageError` if a value has an old name; the message gives the present one."""
    renamed = RENAMED_VALUES.get(key, {})
    if isinstance(value, str) and value in renamed:
        raise UsageError(f"{source}{key} {value} is now called {renamed[value]}: use that name")


def with_keys(cfg: CfgNode, settings: Iterable[tuple[str, Any]], *, source: str = "") -> CfgNode:
    """Returns a frozen copy of a configuration with some dotted keys set, checked as in `set_key`."""
    changed: CfgNode = cfg.clone()
    changed.defrost()
    for key, value in settings:
        set_key(changed, key, value, source=source)
    changed.freeze()
    return changed


def _without_credentials(key: str, value: Any, source: str) -> Any:
    """Removes or refuses credentials: a configuration is written into logs, pages and checkpoints."""
    if isinstance(value, list):
        return [_without_credentials(key, item, source) for item in value]
    if not isinstance(value, str) or without_credentials(value) == value:
        return value
    if key not in KEPT_IN:
        raise UsageError(
            f"{source}{key}: {without_credentials(value)} contains a user name or a password, which would be written "
            "with the configuration: remove them, and pass them as the library of the service "
            "expects (environment variables, credentials file)"
        )
    return keep_credentials(key, value)


def check_known(key: str, known: Collection[str], *, source: str = "") -> None:
    """Raises `UsageError` if a key is not among the known ones; the message names the nearest."""
    if key in known:
        return
    if key in RENAMED_KEYS:
        raise UsageError(f"{source}{key} is now called {RENAMED_KEYS[key]}: use that name")
    if key in FOREIGN_KEYS:
        raise UsageError(f"{source}{key} is a SlowFast key without effect here: {FOREIGN_KEYS[key]}")
    inside = [name for name in known if name.startswith(f"{key}.")]
    if inside:
        raise UsageError(f"{source}{key} is a section: set its keys, such as {inside[0]}")
    name = USUAL_NAMES.get(key.upper(), key.upper())
    raise UsageError(f"{source}unknown key {key}{nearest(name, known)}")


def _checked(key: str, value: Any, default: Any, source: str) -> Any:
    if isinstance(default, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 reads 1e-5 as a string
            value = float(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, str) and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a folder called 2024, in a file
    if isinstance(default, list):
        items = _items(key, value, source)
        return [_checked(f"{key}[{i}]", item, default[0], source) for i, item in enumerate(items)] if default else items
    if type(value) is not type(default):
        raise UsageError(
            f"{source}{key}: expected {type(default).__name__} (as its default {default!r}), "
            f"got {type(value).__name__} {value!r}"
        )
    return value


def _items(key: str, value: Any, source: str) -> list[Any]:
    """Returns a list of plain values from user input: a list, a Python tuple, or a single value."""
    if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
        value = parse_yaml(f"[{value[1:-1]}]", source=f"{source}{key}")
    items = list(value) if isinstance(value, list | tuple) else [value]
    if wrong := [item for item in items if not isinstance(item, str | int | float)]:
        raise UsageError(f"{source}{key}: expected a list of plain values, got {wrong[0]!r} in it")
    return [float(item) if isinstance(item, str) and _EXPONENT.fullmatch(item) else item for item in items]
