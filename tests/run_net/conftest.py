"""The command line in this process, and a recipe that takes a second."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from saying import Say
from tiny_runs import write_tiny

from stica_pv.commands import train


@pytest.fixture(scope="session")
def tool() -> ModuleType:
    return train


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    log = logging.getLogger("stica_pv")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def cfg_file(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.yaml")


@pytest.fixture
def say(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs the command line in this process; returns exit code, stdout and stderr."""

    def say(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = tool.main([str(argument) for argument in argv])
        return (code, *capsys.readouterr())

    return say
