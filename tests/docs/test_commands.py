"""Every command of the documentation is understood: programs, options, recipes, keys, files and make targets exist."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, ROOT, commands, commands_of, inline_code, without_variables
from stica_pv.commands.program import load_command

from stica_pv.config import flatten
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.launch.sweep import expand

KEYS = {key for key, _ in flatten(get_cfg())}
PARTS = {key[:end] for key in KEYS for end in range(len(key)) if key[end] == "."}
KEY = re.compile(r"[A-Z][A-Z_]+(?:\.[A-Z][A-Z0-9_]*)+")
FILE = re.compile(r"(?:projects|tools|tests|stica_pv|docs)/[\w/.-]+\.(?:ya?ml|py|md|png)|constraints\.txt|\.ci/run")
FROM_ELSEWHERE = ("source", "docker", "pytest", "python3", "wandb")
NOT_OURS = ("-c", "venv", "build")
PLACEHOLDERS = ("KEY", "VALUE")  # in the prose, for any override


def parse(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parses the arguments of a command as the command does, without running it."""
    module = load_command(name)
    found: list[Any] = []

    def record(act: Any, **_: Any) -> int:
        found.append(act.args[0] if isinstance(act, partial) and act.args else None)
        return 0

    monkeypatch.setattr(module, "exit_code", record)
    module.main(words)
    return found[0]


def check_ours(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parses a command, and reads the recipes and keys that it names; a name alone must only exist."""
    if not words or "--help" in words:
        load_command(name)
        return
    args = parse(name, [word for word in words if word not in PLACEHOLDERS], monkeypatch)
    if getattr(args, "cfg", None) and args.cfg != ["FILE"]:
        files = [args.cfg] if isinstance(args.cfg, str) else args.cfg
        expand(files, args.overrides, getattr(args, "sweep", []))


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails unless a command is one that a reader can type."""
    program, *rest = without_variables(words)
    program = program.removeprefix(".venv/bin/")
    if program == "torchrun":
        first = next(i for i, word in enumerate(rest) if word.startswith("tools/") or word == "-m")
        program, rest = "python", rest[first:]
    if program == "stica-pv":
        if rest != ["--version"]:
            check_ours(rest[0], rest[1:], monkeypatch)
    elif program == "python":
        check_python(rest, monkeypatch)
    elif program == "make":
        targets = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{rest[0]}:", targets, re.MULTILINE), rest[0]
    elif program == "pip":
        setup = (ROOT / "setup.py").read_text(encoding="utf-8")
        names = [name for word in rest for group in re.findall(r"\[([\w,]+)\]", word) for name in group.split(",")]
        assert all(f'"{name}": [' in setup for name in names), rest
    else:
        assert program in FROM_ELSEWHERE, program


def check_python(rest: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if rest[:2] == ["-m", "stica_pv"]:
        if rest[2:]:
            check_ours(rest[2], rest[3:], monkeypatch)
    elif rest[0] in ("-m", *NOT_OURS):
        assert rest[0] in NOT_OURS or rest[1] in ("pytest", *NOT_OURS), rest
    else:
        script = ROOT / rest[0]
        assert script.is_file(), rest[0]
        imported = re.search(r"from stica_pv\.commands\.(\w+) import main", script.read_text(encoding="utf-8"))
        if imported:
            check_ours(imported[1].replace("_", "-"), rest[1:], monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in commands(page):
        try:
            check(words, monkeypatch)
        except (UsageError, SystemExit, AssertionError) as error:
            pytest.fail(f"{' '.join(words)}: {error}")


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
