"""Fixtures for several folders; its presence also puts this one on the import path, for modules such as `tiny_task`."""

import logging
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_clips import make_clip

from stica_pv.command_line import IMPORTS

TRAIN, TEST, CLASSES = 12, 6, 3
LONG_LIMIT_S = 1800  # of a slow or slurm test; that of an ordinary one is in pyproject.toml


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the long tests a time limit of their own."""
    for item in items:
        long = any(item.get_closest_marker(mark) for mark in ("slow", "slurm"))
        if long and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_LIMIT_S))


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 clips with audio, 12 of them in train.csv and 6 in test.csv, with labels of three classes."""
    folder = tmp_path_factory.mktemp("clips")
    lines = []
    for number in range(TRAIN + TEST):
        make_clip(folder / f"clip{number:02}.mp4", number)
        lines.append(f"clip{number:02}.mp4 {number % CLASSES}\n")
    (folder / "train.csv").write_text("".join(lines[:TRAIN]))
    (folder / "test.csv").write_text("".join(lines[TRAIN:]))
    return folder


@pytest.fixture(autouse=True)
def feature_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of features, for this process and those that it starts; not made before it is used."""
    folder = tmp_path_factory.getbasetemp() / f"features-{uuid.uuid4().hex}"
    monkeypatch.setenv("STICA_PV_FEATURE_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True, scope="session")
def _feature_cache_of_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A store of features for fixtures of larger scope, never that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STICA_PV_FEATURE_CACHE", str(tmp_path_factory.getbasetemp() / "features"))
        yield


@pytest.fixture(autouse=True)
def no_imports_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--import`` of a command that a test parses in this process ends with the test."""
    monkeypatch.setenv(IMPORTS, "")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Handlers and levels that a command sets in this process end with the test; its streams do, too."""
    loggers = [logging.getLogger(), logging.getLogger("stica_pv")]
    before = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        for handler in list(logger.handlers):
            if handler not in handlers and not type(handler).__module__.startswith("_pytest"):
                logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def signals_of_a_terminal() -> Iterator[None]:
    """No signal is ignored, here and in processes started from here, also where nohup or `&` has started the tests."""
    usual = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
