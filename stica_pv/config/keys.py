"""Declarations of keys: each component declares a key once, and everything else about the key follows from it.

From the declarations follow the defaults, the check of values, what a checkpoint brings, what a resumed run and the
runs of an array job may change, ``--explain``, and the reference of the configuration.
"""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stica_pv.config.limits import Limits
from stica_pv.config.node import CfgNode, flatten, section
from stica_pv.config.roles import NETWORK, TRUNK, Role
from stica_pv.errors import UsageError, check_choice


@dataclass(frozen=True)
class Key:
    """A key of the configuration.

    Attributes:
        name: Name within its section; in a `KeyTable` the dotted name.
        default: Value without a setting; its type is the type of the key.
        sentence: Meaning of the key, one sentence.
        limits: Allowed values; None: all of the type.
        role: Role of the key; None: that of the declaration.
        component: Module that declares the key.
        task: The only task that reads the key, apart from those that name it in their `declare_task`; empty: all.
    """

    name: str
    default: Any
    sentence: str
    limits: Limits | None = None
    role: Role | None = None
    component: str = ""
    task: str = ""

    @property
    def type(self) -> str:
        """Type of the value in words."""
        default = self.default
        if isinstance(default, list):
            numbers = self.limits is not None and not self.limits.choices
            items = type(default[0]).__name__ if default else "float" if numbers else ""
            return f"list of {_TYPES[items]}s" if items else "list"
        return _TYPES[type(default).__name__]

    @property
    def allowed(self) -> str:
        """Allowed values in words; empty: all of the type."""
        return self.limits.expectation() if self.limits is not None else ""


_TYPES = {"bool": "True or False", "int": "integer", "float": "number", "str": "text"}


@dataclass(frozen=True)
class TaskDeclaration:
    """A method, as a configuration sees it.

    Attributes:
        sentence: Description for people.
        reads: Keys that the method reads and some other methods do not; None: it may read any key.
    """

    sentence: str
    reads: tuple[str, ...] | None = None


@dataclass
class KeyTable:
    """Keys by dotted name, and tasks by name.

    Attributes:
        keys: The keys in the order of their declaration.
        tasks: The declared tasks.
    """

    keys: dict[str, Key] = field(default_factory=dict)
    tasks: dict[str, TaskDeclaration] = field(default_factory=dict)

    def declare_keys(self, component: str, part: str, role: Role, *keys: Key, task: str = "") -> None:
        """Adds keys; see the function `declare_keys`."""
        for key in keys:
            name = f"{part}.{key.name}" if part else key.name
            before = self.keys.get(name)
            if before is not None:
                check_single(name, before.component, component)
            self.keys[name] = replace(key, name=name, role=key.role or role, component=component, task=task)

    def declare_task(self, name: str, sentence: str, *, reads: Iterable[str] | None = None) -> None:
        """Adds a task; see the function `declare_task`."""
        self.tasks[name] = TaskDeclaration(sentence, None if reads is None else tuple(reads))

    def readers(self, key: str) -> list[str]:
        """Returns the tasks that read a key; empty: all do."""
        own = [self.keys[key].task] if key in self.keys and self.keys[key].task else []
        named = [name for name, task in self.tasks.items() if key in (task.reads or ())]
        return sorted({*own, *named})

    def roles(self, key: str) -> set[Role]:
        """Returns the role of a key.

        A stored configuration may hold a key that is not declared, of another version or of a module that is not
        imported. Such a key has the roles of all keys of its section, none if the section is not declared either.
        """
        if key in self.keys:
            return _roles([self.keys[key]])
        above = key.rpartition(".")[0]
        while above:
            found = _roles(one for name, one in self.keys.items() if name.startswith(f"{above}."))
            if found:
                return found
            above = above.rpartition(".")[0]
        return set()

    def defaults(self, components: Sequence[str] = ()) -> CfgNode:
        """Returns a fresh configuration of defaults.

        Args:
            components: Modules whose keys come first, in this order; others follow in alphabetical order. So the order
                does not depend on which module was imported first.
        """
        rank = {component: position for position, component in enumerate(components)}
        first = [key for key in self.keys.values() if key.component in rank]
        others = [key for key in self.keys.values() if key.component not in rank]
        cfg = CfgNode()
        for key in [*sorted(first, key=lambda one: rank[one.component]), *sorted(others, key=lambda one: one.name)]:
            node, (*parts, leaf) = cfg, key.name.split(".")
            for part in parts:
                node = section(node, part)
            node[leaf] = copy.deepcopy(key.default)
        return cfg


def _roles(keys: Iterable[Key]) -> set[Role]:
    return {key.role for key in keys if key.role is not None}


TABLE = KeyTable()
"""Keys and tasks of all modules that are imported."""


def check_single(name: str, first: str, second: str) -> None:
    """Raises `UsageError` if two different modules declare a key."""
    if first != second:
        raise UsageError(f"key {name} is declared by {first} and {second}: rename one of them")


def declare_keys(component: str, part: str, role: Role, *keys: Key, task: str = "") -> None:
    """Declares keys of a component, beside the component and at the top level of its module.

    `stica_pv.config.declared` also reads the declarations of this package from their source.

    Args:
        component: The declaring module, ``__name__``.
        part: Dotted name of the section, such as ``"TEST.LINEAR"``; empty: the root.
        role: Role of the keys that do not name their own.
        keys: The keys, with names within the section.
        task: The task that reads the keys; empty: every task does.

    Raises:
        UsageError: Another module has declared one of the keys.
    """
    TABLE.declare_keys(component, part, role, *keys, task=task)


def declare_task(name: str, sentence: str, *, reads: Iterable[str] | None = None) -> None:
    """Declares a method.

    Args:
        name: Value of TASK.
        sentence: Description for people.
        reads: Keys of other components that the method reads and some other methods do not; setting such a key for a
            method that does not read it is an error. None: the method may read any key.
    """
    TABLE.declare_task(name, sentence, reads=reads)


def default_of(key: str) -> Any:
    """Returns the default of a declared key."""
    return copy.deepcopy(TABLE.keys[key].default)


def is_adopted(key: str) -> bool:
    """Whether a checkpoint brings its own value of a key: it describes the networks or their clips.

    An undeclared key counts if its section builds networks, so that it is refused instead of ignored.
    """
    if key not in TABLE.keys:
        return bool(TABLE.roles(key) & {TRUNK, NETWORK})
    return _all(key, "adopted")


def builds_trunk(key: str) -> bool:
    """Whether a key builds the networks that fine-tuning starts from."""
    return _all(key, "builds_trunk")


def is_free(key: str) -> bool:
    """Whether a resumed run may change a key."""
    return _all(key, "free")


def decides_results(key: str) -> bool:
    """Whether the final results depend on a key."""
    return not TABLE.roles(key) or any(role.decides_results for role in TABLE.roles(key))


def is_equal_in_array(key: str) -> bool:
    """Whether all runs of an array job must have the same value of a key."""
    return _all(key, "equal_in_array")


def _all(key: str, attribute: str) -> bool:
    roles = TABLE.roles(key)
    return bool(roles) and all(getattr(role, attribute) for role in roles)


def check_limits(cfg: CfgNode) -> None:
    """Checks every number and text of a configuration.

    Raises:
        UsageError: A number is not finite, or a value is outside its limits; the message names the key.
    """
    for key, value in flatten(cfg):
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, float) and not math.isfinite(item) for item in items):
            raise UsageError(f"{key}: got {value}, expected a finite number")
        limits = TABLE.keys[key].limits if key in TABLE.keys else None
        if limits is None:
            continue
        if limits.choices:
            check_choice(key, value, limits.choices)
        elif not limits.allow(value):
            raise UsageError(f"{key}: got {value}, expected {limits.expectation()}")


def check_ownership(cfg: CfgNode, given: Iterable[str]) -> None:
    """Refuses keys that the chosen TASK never reads.

    Args:
        cfg: The configuration.
        given: Keys that the user set; a key with its default value does not count.

    Raises:
        UsageError: There are such keys; the message names them and the tasks that read them.
    """
    task = TABLE.tasks.get(cfg.TASK)
    if task is None or task.reads is None:
        return
    values = dict(flatten(cfg))
    idle = {
        key: readers
        for key, readers in _owned(dict.fromkeys(given))
        if key in values and values[key] != TABLE.keys[key].default and cfg.TASK not in readers
    }
    if idle:
        listed = ", ".join(f"{key} (TASK {' or '.join(tasks)} does)" for key, tasks in idle.items())
        raise UsageError(f"TASK {cfg.TASK} never reads {listed}: remove it, or choose another TASK")


def _owned(keys: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields the keys that only some tasks read, with these tasks."""
    for key in keys:
        readers = TABLE.readers(key)
        if readers and key in TABLE.keys:
            yield key, readers
