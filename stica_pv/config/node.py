"""Strict configuration: every key is declared with a default, and a wrong one ends with its name and the nearest known.

The node is fvcore's `CfgNode` (``_BASE_``, as in SlowFast); merging is ours, because yacs reports an unknown key as
a bare `KeyError` and refuses an integer where a float is declared.
"""

import ast
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from stica_pv.config.slowfast import FOREIGN_KEYS
from stica_pv.credentials import KEPT_IN, keep_credentials, without_credentials
from stica_pv.errors import UsageError, nearest

DECLARED_LISTS = "_declared_lists"  # attribute of a configuration: the lists it was declared with, of keys set since

__all__ = ["CfgNode", "apply_overrides", "flatten", "keys_in_file", "merge_file", "section"]


def section(cfg: CfgNode, name: str) -> CfgNode:
    """Returns the node `name` of `cfg`, made on first use, so that several components can declare keys in it."""
    if name not in cfg:
        cfg[name] = CfgNode()
    return cfg[name]


def flatten(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of every leaf."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def merge_file(cfg: CfgNode, path: str | os.PathLike[str]) -> None:
    """Merges a YAML file (and the files its ``_BASE_`` names) into `cfg`, in place.

    Raises:
        UsageError: The file is missing or no YAML mapping, or a key or type is wrong.
    """
    path = str(path)
    if not Path(path).is_file():
        raise UsageError(f"--cfg {path}: there is no such file")
    try:
        loaded = CfgNode.load_yaml_with_base(path)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: its _BASE_ cannot be read: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: its _BASE_ leads back to itself") from error
    except (TypeError, AttributeError) as error:  # fvcore looks for _BASE_, a name, in whatever the file holds
        raise UsageError(f"{path}: expected a mapping of keys to values, and _BASE_ to name a file") from error
    if not isinstance(loaded, dict):
        raise UsageError(f"{path}: expected a mapping of keys to values, got {type(loaded).__name__}")
    for key, value in flatten(loaded):
        set_key(cfg, key, value, source=f"{path}: ")


def keys_in_file(path: str | os.PathLike[str]) -> list[str]:
    """Returns the dotted keys that a YAML file sets itself, not by its ``_BASE_``; `merge_file` has accepted it."""
    loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return [key for key, _ in flatten(loaded) if key != "_BASE_"]


def apply_overrides(cfg: CfgNode, overrides: Sequence[str]) -> None:
    """Applies ``[KEY, VALUE, KEY, VALUE, …]`` as typed on the command line, the last one winning, in place.

    Raises:
        UsageError: Odd number of words, unknown key, wrong type.
    """
    if len(overrides) % 2:
        joined = next((word for word in overrides if "=" in word), None)
        hint = f"write {joined.replace('=', ' ', 1)}" if joined else "quote lists, as in SOLVER.STEPS '[10, 20]'"
        raise UsageError(
            f"overrides come in pairs KEY VALUE, got {len(overrides)} words, the last one {overrides[-1]!r} ({hint})"
        )
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        default = dict(flatten(cfg)).get(key)
        set_key(cfg, key, text if isinstance(default, str) else _parse(text))


def set_key(cfg: CfgNode, key: str, value: Any, *, source: str = "") -> None:
    """Sets one dotted key after checking that it exists and that the type fits its default."""
    known = dict(flatten(cfg))
    if key not in known:
        if key in FOREIGN_KEYS:
            raise UsageError(f"{source}{key} is a SlowFast key without meaning here: {FOREIGN_KEYS[key]}")
        inside = [name for name in known if name.startswith(f"{key}.")]
        if inside:
            raise UsageError(f"{source}{key} is a section: set its keys, such as {inside[0]}")
        raise UsageError(f"{source}unknown key {key}{nearest(key.upper(), known)}")
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


def _parse(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)  # YAML's way of writing them


def _checked(key: str, value: Any, default: Any, source: str) -> Any:
    if isinstance(default, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 reads 1e-5 as a string
            value = float(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, str) and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a folder called 2024, in a file
    if isinstance(default, list):
        if isinstance(value, tuple):
            value = list(value)
        elif not isinstance(value, list):
            value = [value]
        if default and isinstance(value, list):
            return [_checked(f"{key}[{i}]", item, default[0], source) for i, item in enumerate(value)]
        return value
    if type(value) is not type(default):
        raise UsageError(
            f"{source}{key}: expected {type(default).__name__} (as its default {default!r}), "
            f"got {type(value).__name__} {value!r}"
        )
    return value
