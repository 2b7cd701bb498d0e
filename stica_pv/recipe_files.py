"""Recipes: the configurations that come with the package, found by name from any working directory.

A clone keeps them in projects/; an installed package has a copy of its .yaml files beside this code.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

from stica_pv.errors import UsageError, nearest

SUFFIX = ".yaml"
CLONE = "projects"
_PACKAGE = Path(__file__).resolve().parent
_PACKAGED = _PACKAGE / "recipes"  # setup.py copies them there


def recipe_folder() -> Path:
    """Returns the folder of the recipes."""
    return _PACKAGED if _PACKAGED.is_dir() else _PACKAGE.parent / CLONE


@functools.cache
def recipe_names() -> tuple[str, ...]:
    """Returns the names of all recipes: ``stica/k400`` is ``stica/k400.yaml`` below the folder of the recipes."""
    folder = recipe_folder()
    return tuple(sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob(f"*{SUFFIX}")))


def headlines() -> Iterator[tuple[str, str]]:
    """Yields name and first header line of each recipe."""
    for name in recipe_names():
        with (recipe_folder() / f"{name}{SUFFIX}").open(encoding="utf-8") as file:
            yield name, file.readline().lstrip("# ").strip()


def find_file(file: str, *, option: str = "--cfg") -> str:
    """Returns the path of a configuration: a file, or else a recipe by name.

    Args:
        file: A path; or the name of a recipe, as ``stica/k400``, ``stica/k400.yaml`` or ``projects/stica/k400.yaml``.
        option: Option of the command line that names the file; messages begin with it.

    Raises:
        UsageError: There is neither a file nor a recipe.
    """
    if Path(file).exists() and not Path(file).is_dir():
        return file
    recipe = recipe_file(file)
    if recipe is not None:
        return str(recipe)
    name = _name_of(file)
    if file.endswith(SUFFIX):
        raise UsageError(f"{option} {file}: there is no such file{nearest(name, recipe_names())}")
    project = name.partition("/")[0]
    same = [known for known in recipe_names() if known.startswith(f"{project}/") and known.count("/") == 1]
    listed = f"; {project} has {', '.join(same)}" if same else ""
    raise UsageError(
        f"{option} {file}: there is no such file or recipe{nearest(name, recipe_names())}{listed}; "
        "stica-pv recipes lists all"
    )


def recipe_file(file: str) -> Path | None:
    """Returns the path of a recipe, named as for `find_file`; None if there is none of this name."""
    name = _name_of(file)
    return recipe_folder() / f"{name}{SUFFIX}" if name in recipe_names() else None


def _name_of(file: str) -> str:
    return file.removeprefix(f"{CLONE}/").removesuffix(SUFFIX)


def recipe_of(path: Path) -> str | None:
    """Returns the name of a recipe's file; None for any other file."""
    own = path.resolve()
    folder = recipe_folder().resolve()
    return str(own.relative_to(folder).with_suffix("")) if own.is_relative_to(folder) else None
