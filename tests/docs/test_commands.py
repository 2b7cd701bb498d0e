"""Every command of the documentation is understood: programs, options, recipes, keys, files and make targets exist."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, ROOT, commands, commands_of, inline_code, without_environment

from stica_pv.commands.program import load_command
from stica_pv.config import flatten
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.launch.sweep import expand

KEYS = {key for key, _ in flatten(get_cfg())}
PARTS = {key[:end] for key in KEYS for end in range(len(key)) if key[end] == "."}
KEY = re.compile(r"[A-Z][A-Z_]+(?:\.[A-Z][A-Z0-9_]*)+")
FILE = re.compile(
    r"(?:projects|tools|tests|stica_pv|docs|examples)/[\w/.-]+\.(?:ya?ml|py|md|png)|constraints\.txt|\.ci/run"
)
FROM_ELSEWHERE = ("hear-validator", "source", "docker", "pytest", "python3", "wandb")
MODULES = ("xares.run", "pytest", "venv", "build")
IMPORTS = "CUSTOM_IMPORTS"


def parse(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parses the arguments of a command as the command does, without running it."""
    module = load_command(name)
    found: list[Any] = []

    def record(act: Any, **_: Any) -> int:
        found.append(act.args[0] if isinstance(act, partial) and act.args else None)
        return 0

    monkeypatch.setattr(module, "exit_code", record)
    module.main(arguments)
    return found[0]


def loads_modules(files: list[str], overrides: list[str]) -> bool:
    """Whether a configuration imports modules of its own, whose names are then not known here; `test_run` runs it."""
    texts = [Path(file).read_text(encoding="utf-8") for file in files if Path(file).is_file()]
    return any(IMPORTS in text for text in [*texts, *overrides])


def check_ours(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parses a command, and reads the recipes and keys that it names; a name alone must only exist."""
    name, *rest = arguments
    if name == "--version":
        return
    if not rest or "--help" in rest:
        load_command(name)
        return
    args = parse(name, rest, monkeypatch)
    if getattr(args, "cfg", None) and args.cfg != ["FILE"]:
        files = [args.cfg] if isinstance(args.cfg, str) else args.cfg
        if not loads_modules(files, args.overrides):
            expand(files, args.overrides, getattr(args, "sweep", []))


def check_python(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = arguments
    if first == "-m" and rest[0] == "stica_pv":
        if rest[1:]:
            check_ours(rest[1:], monkeypatch)
    elif first == "-m":
        assert rest[0] in MODULES, rest
    elif first.endswith(".py"):
        script = ROOT / first
        assert script.is_file(), first
        imported = re.search(r"from stica_pv\.commands\.(\w+) import main", script.read_text(encoding="utf-8"))
        if imported:
            check_ours([imported[1].replace("_", "-"), *rest], monkeypatch)


def check_torchrun(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(i for i, argument in enumerate(arguments) if argument.startswith("tools/") or argument == "-m")
    check_python(arguments[first:], monkeypatch)


def check_make(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{arguments[0]}:", targets, re.MULTILINE), arguments


def check_pip(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    extras = [group for argument in arguments for group in re.findall(r"\[([\w,]+)\]", argument)]
    assert all(f'"{name}": [' in setup for group in extras for name in group.split(",")), extras


def change_folder(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / arguments[0])


CHECKS = {
    "stica-pv": check_ours,
    "python": check_python,
    "torchrun": check_torchrun,
    "make": check_make,
    "pip": check_pip,
    ".venv/bin/pip": check_pip,
    ".venv/bin/python": check_python,
    "cd": change_folder,
}


def check(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails unless a command is one that a reader can type."""
    program, *rest = without_environment(arguments)
    if rest[-2:] == ["KEY", "VALUE"]:  # for any override
        rest = rest[:-2]
    assert program in (*CHECKS, *FROM_ELSEWHERE), program
    if program in CHECKS:
        CHECKS[program](rest, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for arguments in commands(page):
        try:
            check(arguments, monkeypatch)
        except (UsageError, SystemExit, AssertionError) as error:
            pytest.fail(f"{' '.join(arguments)}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_key_of_a_page_exists(page: Path) -> None:
    named = {key for code in inline_code(page) for key in KEY.findall(code)}
    assert sorted(named - KEYS - PARTS) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_the_project_that_a_page_names_exists(page: Path) -> None:
    named = {name for name in FILE.findall(page.read_text(encoding="utf-8"))}
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize(
    "text",
    [
        "stica-pv trian --cfg stica/demo",
        "stica-pv train --cfg stica/no_recipe",
        "stica-pv train --cfg stica/demo SOLVER.LEARNING_RATE 1",
        "stica-pv train --cfg stica/demo --no_option",
        "python tools/no_tool.py",
        "make nothing",
        "pip install 'stica_pv[nothing]'",
        "rm -rf output",
    ],
)
def test_a_wrong_command_is_found(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((UsageError, SystemExit, AssertionError)):
        check(commands_of(text)[0], monkeypatch)
