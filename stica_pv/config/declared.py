"""Reads the declarations of keys from their source, so that a misspelled key is found before torch is imported.

The declaring modules import their components, which takes seconds. Here, only the calls of `declare_keys` and
`declare_task` are evaluated, with what they name: constants of this package, found in the source as well.
"""

import ast
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stica_pv.config.imports import import_components, named_imports
from stica_pv.config.keys import TABLE, KeyTable, check_single
from stica_pv.config.node import check_known, pairs_of, read_settings
from stica_pv.recipe_files import find_file

PACKAGE = Path(__file__).resolve().parent.parent
_GATHERED = "stica_pv.defaults"  # its COMPONENTS are the declaring modules
_LIGHT = "stica_pv.config."  # modules that are imported, since they import nothing heavy


def check_keys(files: Sequence[str], overrides: Sequence[str]) -> None:
    """Refuses undeclared keys, after importing the modules of CUSTOM_IMPORTS; values are checked later.

    Args:
        files: YAML files, or names of recipes.
        overrides: Alternating keys and values.

    Raises:
        UsageError: A file cannot be read, a module cannot be imported, or a key is unknown.
    """
    settings = [setting for file in files for setting in read_settings(find_file(file))]
    import_components(named_imports(settings, overrides))
    known = {**declared_keys(), **TABLE.keys}
    found = [(f"{source}: ", key) for source, key, _ in settings]
    for source, key in [*found, *(("", key) for key, _ in pairs_of(overrides))]:
        check_known(key, known, source=source)


def declared_keys() -> dict[str, str]:
    """Returns the dotted keys of this package, each with the module that declares it."""
    return {key: component for component in _components() for key in _names(component)}


def read_table() -> KeyTable:
    """Returns the keys and tasks of this package, from their source, and those of other modules that are imported.

    Raises:
        UsageError: Another module has declared a key of this package.
    """
    source = read_source()
    for name in source.keys.keys() & TABLE.keys.keys():
        check_single(name, source.keys[name].component, TABLE.keys[name].component)
    return KeyTable({**source.keys, **TABLE.keys}, {**source.tasks, **TABLE.tasks})


def read_source() -> KeyTable:
    """Returns the keys and tasks of this package, from their source."""
    table = KeyTable()
    for component in _components():
        for call in _declarations(component):
            name = _name_of(call)
            code = compile(ast.Expression(call), component, "eval")
            eval(code, {}, _Names(component, **{name: getattr(table, name)}))
    return table


def _components() -> tuple[str, ...]:
    found: tuple[str, ...] = _Names(_GATHERED)["COMPONENTS"]
    return found


@cache
def _parse(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _declarations(module: str) -> Iterator[ast.Call]:
    for node in _parse(module).body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and _name_of(call) in ("declare_keys", "declare_task"):
            yield call


def _name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _names(module: str) -> Iterator[str]:
    """Yields the names of the keys of a module, which evaluates no default and no limits."""
    for call in _declarations(module):
        if _name_of(call) == "declare_keys":
            part = ast.literal_eval(call.args[1])
            for key in call.args[3:]:
                assert isinstance(key, ast.Call), f"{module}: declare_keys takes calls of Key"
                yield f"{part}.{ast.literal_eval(key.args[0])}" if part else str(ast.literal_eval(key.args[0]))


class _Names(Mapping[str, Any]):
    """Values of the names of a module that can be evaluated without importing it, and of `given` names."""

    def __init__(self, module: str, **given: Any) -> None:
        self._module = module
        self._given = {"__name__": module, **given}
        self._nodes: dict[str, ast.expr | ast.ClassDef] = {}
        self._imports: dict[str, tuple[str, str]] = {}
        for node in _parse(module).body:
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ImportFrom) and node.module:
            self._imports |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            self._nodes[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            self._nodes[node.target.id] = node.value
        elif isinstance(node, ast.ClassDef):
            self._nodes[node.name] = node

    def __getitem__(self, name: str) -> Any:
        if name in self._given:
            return self._given[name]
        if name in self._nodes:
            return self._evaluate(self._nodes[name])
        if name not in self._imports:
            raise KeyError(name)  # a builtin
        module, attribute = self._imports[name]
        if module.startswith(_LIGHT) or module.partition(".")[0] in sys.stdlib_module_names:
            return getattr(importlib.import_module(module), attribute)
        return _Names(module)[attribute]

    def _evaluate(self, node: ast.expr | ast.ClassDef) -> Any:
        if isinstance(node, ast.Dict):  # only its keys are allowed values; its values may be code
            return dict.fromkeys(ast.literal_eval(key) for key in node.keys if key is not None)
        if isinstance(node, ast.ClassDef):  # its fields with defaults
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and part.value is not None]
            return SimpleNamespace(
                **{f.target.id: self._evaluate(f.value) for f in fields if isinstance(f.target, ast.Name) and f.value}
            )
        return eval(compile(ast.Expression(node), self._module, "eval"), {}, self)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._given, *self._nodes, *self._imports))

    def __len__(self) -> int:
        return len(self._given) + len(self._nodes) + len(self._imports)
