"""Reads YAML: a key given twice is an error, and every error is one line."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import yaml

from stica_pv.config.renamed import with_present_names
from stica_pv.errors import UsageError

MOST_KEYS = 10_000  # limit for untrusted text: YAML references can expand to any number
_BASE: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML has it


class _Loader(_BASE):  # type: ignore[misc, valid-type]  # a choice at run time
    """The safe loader, with an error for a key given twice; YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in found:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} is given twice", key.start_mark
                    )
                found.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """Returns a number; ``1:30`` stays a text, unlike in YAML 1.1, where it is 90."""
        if ":" in node.value:
            return node.value
        return self.construct_yaml_float(node) if node.tag.endswith("float") else self.construct_yaml_int(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def flatten(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of every leaf."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def parse_yaml(text: str, *, source: str) -> Any:
    """Parses a YAML text.

    Args:
        text: The text.
        source: Source of the text; messages begin with it.

    Raises:
        UsageError: It is not valid YAML, or gives a key twice.
    """
    try:
        return yaml.load(text, _Loader)  # derived from the safe one
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        what = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        raise UsageError(f"{source}: not valid YAML: {where}{what}") from error
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
    ) as error:  # such as an impossible date, a list as a key
        raise UsageError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UsageError(f"{source}: not valid YAML: it is nested too deeply") from error


def parse_settings(text: str, *, source: str) -> list[tuple[str, Any]]:
    """Returns the dotted keys and values of a configuration file.

    Raises:
        UsageError: It is not a mapping of keys to values.
    """
    found = parse_yaml(text, source=source)
    if not isinstance(found, dict):
        raise UsageError(f"{source}: expected a mapping of keys to values, got {type(found).__name__}")
    try:
        settings = list(islice(flatten(found), MOST_KEYS + 1))
    except RecursionError as error:
        raise UsageError(f"{source}: expected a mapping of keys to values, got one that contains itself") from error
    if len(settings) > MOST_KEYS:
        raise UsageError(f"{source}: expected at most {MOST_KEYS} keys")
    return settings


def parse_stored_settings(text: str, *, source: str) -> list[tuple[str, Any]]:
    """Returns the keys and values of a configuration that this package wrote, renamed ones under their present names.

    Raises:
        UsageError: It is not a mapping of keys to values.
    """
    return with_present_names(parse_settings(text, source=source))
