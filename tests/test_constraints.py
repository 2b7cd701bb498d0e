"""constraints.txt has the version of every package that `make install` installs, and of no other."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OURS = "stica_pv"


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    names = [canonicalize_name(name) for name, _ in pairs]
    assert names == sorted(set(names)), "each package once, in the order of the names"
    return {canonicalize_name(name): version for name, version in pairs}


def installed_extras(file: str = "Makefile") -> frozenset[str]:
    found = re.search(r"-c constraints\.txt -e '\.\[([\w,]+)\]'", (ROOT / file).read_text(encoding="utf-8"))
    assert found, f"no command in {file} that installs with constraints.txt"
    return frozenset(found[1].split(","))


def requirements(name: str, extras: frozenset[str]) -> list[Requirement]:
    """Return what a distribution needs here; skip the test if it is not installed."""
    try:
        stated = map(Requirement, metadata.requires(name) or [])
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed: `make install` installs all")
    return [
        needed
        for needed in stated
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def test_what_make_install_names_has_a_pin_within_its_bounds():
    known = pins()
    named = [needed for needed in requirements(OURS, installed_extras()) if needed.name != OURS]
    assert len(named) > 20
    assert [str(needed) for needed in named if canonicalize_name(needed.name) not in known] == []
    wrong = [str(needed) for needed in named if not needed.specifier.contains(known[canonicalize_name(needed.name)])]
    assert wrong == []


def test_all_that_comes_with_it_has_a_pin_and_no_pin_is_unused():
    known, done = pins(), set()
    todo = [(OURS, installed_extras())]
    while todo:
        step = todo.pop()
        if step not in done:
            done.add(step)
            todo += [(canonicalize_name(needed.name), frozenset(needed.extras)) for needed in requirements(*step)]
    assert {name for name, _ in done} - {OURS} == set(known)


def test_the_commands_that_install_name_the_same_extras():
    assert installed_extras() == installed_extras("docs/install.md") == installed_extras("constraints.txt")
