"""Strict configuration: every key is declared with a default, and a wrong one ends with its name and the nearest known.

The node is fvcore's `CfgNode`; reading (``_BASE_``, as in SlowFast) and merging are ours, because yacs reports an
unknown key as a bare `KeyError`, refuses an integer where a float is declared, and keeps the last of two equal keys.
"""

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from stica_pv.config.renamed import RENAMED_KEYS
from stica_pv.config.slowfast import FOREIGN_KEYS
from stica_pv.config.yaml_text import flatten, parse_settings, parse_yaml
from stica_pv.credentials import KEPT_IN, keep_credentials, without_credentials
from stica_pv.errors import UsageError, nearest

BASE = "_BASE_"
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # YAML 1.1 reads 1e-5 as a string
DECLARED_LISTS = "_declared_lists"  # attribute of a configuration: the lists it was declared with, of keys set since

__all__ = ["CfgNode", "apply_overrides", "flatten", "keys_in_file", "merge_file", "section"]


def section(cfg: CfgNode, name: str) -> CfgNode:
    """Returns the node `name` of `cfg`, made on first use, so that several components can declare keys in it."""
    if name not in cfg:
        cfg[name] = CfgNode()
    return cfg[name]


def merge_file(cfg: CfgNode, path: str | os.PathLike[str]) -> None:
    """Merges a YAML file (and the files its ``_BASE_`` names) into `cfg`, in place.

    Raises:
        UsageError: The file is missing or no YAML mapping, or a key or type is wrong.
    """
    for source, key, value in read_settings(path):
        set_key(cfg, key, value, source=f"{source}: ")


def read_settings(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, Any]]:
    """Yields (file, key, value) of a YAML file, after those of the files that its ``_BASE_`` names.

    Raises:
        UsageError: A file is missing or no YAML mapping.
    """
    if not Path(path).is_file():
        raise UsageError(f"--cfg {path}: there is no such file")
    yield from _settings(str(path), ())


def _settings(path: str, above: tuple[str, ...]) -> Iterator[tuple[str, str, Any]]:
    own = os.path.realpath(path)
    if own in above:
        raise UsageError(f"{path}: its _BASE_ leads back to itself")
    settings = parse_settings(_text_of(path), source=path)
    bases = [base for key, value in settings if key == BASE for base in (value if isinstance(value, list) else [value])]
    for base in bases:
        if not isinstance(base, str):
            raise UsageError(f"{path}: expected _BASE_ to name a file, got {base!r}")
        beside = os.path.join(os.path.dirname(path), os.path.expanduser(base))
        if not Path(beside).is_file():
            raise UsageError(f"{path}: its _BASE_ cannot be read: there is no file {beside}")
        yield from _settings(beside, (*above, own))
    yield from ((path, key, value) for key, value in settings if key != BASE)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8: {error}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def keys_in_file(path: str | os.PathLike[str]) -> list[str]:
    """Returns the dotted keys that a YAML file sets itself, not by its ``_BASE_``; `merge_file` has accepted it."""
    return [key for key, _ in parse_settings(_text_of(str(path)), source=str(path)) if key != BASE]


def apply_overrides(cfg: CfgNode, overrides: Sequence[str]) -> None:
    """Applies ``[KEY, VALUE, KEY, VALUE, …]`` as typed on the command line, the last one winning, in place.

    A value is read as in a file, ``[knn, svm]`` too; that of a key of text is the text.

    Raises:
        UsageError: Odd number of words, unknown key, wrong type.
    """
    for key, text in pairs_of(overrides):
        default = dict(flatten(cfg)).get(key)
        set_key(cfg, key, text if isinstance(default, str) else parse_yaml(text, source=f"{key} {text}"))


def pairs_of(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Returns (key, value) of words as typed.

    Raises:
        UsageError: Odd number of words.
    """
    if len(overrides) % 2:
        joined = next((word for word in overrides if "=" in word), None)
        hint = f"write {joined.replace('=', ' ', 1)}" if joined else "quote lists, as in SOLVER.STEPS '[10, 20]'"
        raise UsageError(
            f"overrides come in pairs KEY VALUE, got {len(overrides)} words, the last one {overrides[-1]!r} ({hint})"
        )
    return list(zip(overrides[::2], overrides[1::2], strict=True))


def set_key(cfg: CfgNode, key: str, value: Any, *, source: str = "") -> None:
    """Sets one dotted key after checking that it exists and that the type fits its default."""
    known = dict(flatten(cfg))
    check_known(key, known, source=source)
    default = known[key]
    if isinstance(default, list):  # its items tell their type as declared only: what was set since may be of another
        default = cfg.__dict__.setdefault(DECLARED_LISTS, {}).setdefault(key, default)
    node = cfg
    *parents, leaf = key.split(".")
    for parent in parents:
        node = node[parent]
    node[leaf] = _without_credentials(key, _checked(key, value, default, source), source)


def _without_credentials(key: str, value: Any, source: str) -> Any:
    """A configuration is written into logs, pages and checkpoints: no password may be in it."""
    if isinstance(value, list):
        return [_without_credentials(key, item, source) for item in value]
    if not isinstance(value, str) or without_credentials(value) == value:
        return value
    if key not in KEPT_IN:
        raise UsageError(
            f"{source}{key}: {without_credentials(value)} came with a user name or a password, which would be written "
            "wherever the configuration is: leave them out, and give them in the way that the service's own library "
            "reads them (its variables of the environment, its file of credentials)"
        )
    return keep_credentials(key, value)


def check_known(key: str, known: Collection[str], *, source: str = "") -> None:
    """Raises `UsageError` if a key is not among the known ones; the message names the nearest."""
    if key in known:
        return
    if key in RENAMED_KEYS:
        raise UsageError(f"{source}{key} is called {RENAMED_KEYS[key]} now: use that name")
    if key in FOREIGN_KEYS:
        raise UsageError(f"{source}{key} is a SlowFast key without meaning here: {FOREIGN_KEYS[key]}")
    inside = [name for name in known if name.startswith(f"{key}.")]
    if inside:
        raise UsageError(f"{source}{key} is a section: set its keys, such as {inside[0]}")
    raise UsageError(f"{source}unknown key {key}{nearest(key.upper(), known)}")


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
    """A list of plain values from what a person writes for one: a list, a tuple of Python, or a single value."""
    if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
        value = parse_yaml(f"[{value[1:-1]}]", source=f"{source}{key}")
    items = list(value) if isinstance(value, list | tuple) else [value]
    if wrong := [item for item in items if not isinstance(item, str | int | float)]:
        raise UsageError(f"{source}{key}: expected a list of plain values, got {wrong[0]!r} in it")
    return [float(item) if isinstance(item, str) and _EXPONENT.fullmatch(item) else item for item in items]
