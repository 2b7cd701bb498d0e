"""Reads all keys from the source of their declarations, to find a misspelled one before torch is imported.

The declarations are in the folders of the components and import them, which takes seconds. Nothing of that runs here.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from stica_pv.config.node import check_known, pairs_of, read_settings
from stica_pv.recipe_files import find_file

PACKAGE = Path(__file__).resolve().parent.parent
_GATHERED = PACKAGE / "defaults.py", "get_cfg"  # assigns keys itself, and calls the functions that declare the others


def check_keys(files: Sequence[str], overrides: Sequence[str]) -> None:
    """Refuses undeclared keys; values are checked later, when their defaults are known.

    Args:
        files: YAML files, or names of recipes.
        overrides: Alternating keys and values.

    Raises:
        UsageError: A file cannot be read, or a key is unknown.
    """
    known = declared_keys()
    computed = tuple(key for key in known if key.endswith("."))
    found = [(f"{source}: ", key) for file in files for source, key, _ in read_settings(find_file(file))]
    for source, key in [*found, *(("", key) for key, _ in pairs_of(overrides))]:
        if not key.startswith(computed):
            check_known(key, known, source=source)


def declared_keys() -> list[str]:
    """Returns the dotted keys of `stica_pv.defaults.get_cfg`, and a section that computes keys as ``NAME.``."""
    path, name = _GATHERED
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    gathering = _function(tree, name)
    names = [node.id for node in ast.walk(gathering) if isinstance(node, ast.Name) and node.id in modules]
    keys = list(_keys_of(gathering))
    for declaring in names:
        if declaring.startswith("add_"):
            keys += _keys_of(_function(ast.parse(_source_of(modules[declaring])), declaring))
    return keys


def _source_of(module: str) -> str:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path.read_text(encoding="utf-8")


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


def _keys_of(function: ast.FunctionDef) -> Iterator[str]:
    """Yields what ``cfg.KEY = …`` and ``name = section(cfg, "NAME")`` followed by ``name.KEY = …`` declare."""
    sections = {argument.arg: "" for argument in function.args.args} or {"cfg": ""}
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        (target,) = node.targets
        if isinstance(target, ast.Name) and (found := _section_of(node.value, sections)) is not None:
            sections[target.id] = found
        elif isinstance(target, ast.Attribute) and (found := _section_of(target.value, sections)) is not None:
            yield f"{found}{target.attr}"
        elif isinstance(target, ast.Subscript) and (found := _section_of(target.value, sections)) is not None:
            yield found


def _section_of(node: ast.expr, sections: dict[str, str]) -> str | None:
    """Returns the dotted prefix of the keys of a configuration node; None for anything else."""
    if isinstance(node, ast.Name):
        return sections.get(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "section":
        above, name = node.args
        within = _section_of(above, sections)
        return f"{within}{ast.literal_eval(name)}." if within is not None else None
    return None
