"""Descriptions of keys for people: one key or section on the screen, and the reference of all keys as a page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stica_pv.config.keys import Key, KeyTable
from stica_pv.config.node import check_known
from stica_pv.config.roles import ROLES, Role

ROOT_SECTION = "General"
WIDEST_DEFAULT = 40  # characters of a default in the list of a section

_INTRODUCTION = """\
<!-- Written by tools/write_reference.py from the declarations of the keys: do not edit. -->

# Configuration

A configuration is a YAML file of keys, whose `_BASE_` names files to start from, and `KEY VALUE` pairs on the command
line, which count more. `stica-pv explain KEY` prints the entry of a key or of a section.
Modules of your own declare keys in the same way: see [Own method](extending/method.md).

## Roles

The role of a key says what the key decides, and so what happens when a run resumes and where the value comes from.
"""


@dataclass(frozen=True)
class KeyDescription:
    """A key in words.

    Attributes:
        name: Dotted name.
        section: Dotted name of its section; empty for the root.
        default: Default as it is written in a file.
        type: Type of the value.
        allowed: Allowed values; empty: all of the type.
        role: Name of the role.
        meaning: Sentence that says what the key decides.
        rules: Consequences of the role: where the value comes from, and whether a resumed run may change it.
        sentence: Meaning of the key.
        tasks: Tasks that read the key; empty: all.
        component: Module that declares the key.
    """

    name: str
    section: str
    default: str
    type: str
    allowed: str
    role: str
    meaning: str
    rules: tuple[str, ...]
    sentence: str
    tasks: tuple[str, ...]
    component: str


def describe_keys(table: KeyTable) -> list[KeyDescription]:
    """Returns all keys in words: first those without a section, then by section and in the order of declaration."""
    found = [_describe(key, table) for key in table.keys.values()]
    return sorted(found, key=lambda one: one.section)


def explain(name: str, table: KeyTable) -> str:
    """Returns the description of a key, or the list of the keys of a section.

    Raises:
        UsageError: There is no such key; the message names the nearest.
    """
    name = name.upper().rstrip(".")
    inside = [one for one in describe_keys(table) if one.name.startswith(f"{name}.")]
    if inside:
        return "\n".join(_columns([(one.name, _shortened(one.default), one.sentence) for one in inside]))
    check_known(name, table.keys)
    one = _describe(table.keys[name], table)
    rows = [
        ("default", one.default),
        ("type", one.type),
        *([("allowed", one.allowed)] if one.allowed else []),
        ("role", f"{one.role}: {one.meaning}"),
        *(("", rule) for rule in one.rules),
        *([("read by", f"TASK {', '.join(one.tasks)}")] if one.tasks else []),
        ("declared in", one.component),
    ]
    return "\n".join([one.name, f"  {one.sentence}", *(f"  {line}" for line in _columns(rows))])


def reference_page(table: KeyTable) -> str:
    """Returns the reference of all keys as Markdown."""
    lines = [
        _INTRODUCTION,
        *_table(("role", "meaning"), ((role.name, " ".join([_meaning(role), *role.rules()])) for role in ROLES)),
    ]
    described = describe_keys(table)
    for section in dict.fromkeys(one.section for one in described):
        rows = [
            (f"`{one.name}`", f"`{one.default}`", _values(one), one.role, _with_tasks(one))
            for one in described
            if one.section == section
        ]
        lines += ["", f"## {section or ROOT_SECTION}", ""]
        lines += _table(("key", "default", "values", "role", "meaning"), rows)
    return "\n".join(lines) + "\n"


def _describe(key: Key, table: KeyTable) -> KeyDescription:
    assert key.role is not None, f"{key.name} is declared without a role"
    return KeyDescription(
        name=key.name,
        section=key.name.rpartition(".")[0],
        default=repr(key.default) if isinstance(key.default, str) else str(key.default),
        type=key.type,
        allowed=key.allowed,
        role=key.role.name,
        meaning=_meaning(key.role),
        rules=tuple(key.role.rules()),
        sentence=key.sentence,
        tasks=tuple(table.readers(key.name)),
        component=key.component,
    )


def _meaning(role: Role) -> str:
    return f"{role.description[0].upper()}{role.description[1:]}."


def _values(one: KeyDescription) -> str:
    if one.allowed.startswith("one of"):
        return one.allowed
    return f"{one.type}, {one.allowed}" if one.allowed else one.type


def _with_tasks(one: KeyDescription) -> str:
    return f"{one.sentence} (TASK {', '.join(one.tasks)})" if one.tasks else one.sentence


def _shortened(default: str) -> str:
    return default if len(default) <= WIDEST_DEFAULT else f"{default[: WIDEST_DEFAULT - 2]} …"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in cells]


def _cell(text: str) -> str:
    """Returns a text for a table; outside of code, ``<name>`` would be taken for an element of HTML."""
    parts = text.replace("|", r"\|").split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))
