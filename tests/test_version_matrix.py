"""The tool that tests other versions names what it does not run, with the reason, instead of ending in a traceback."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tools"))

import version_matrix  # noqa: E402 - found by the line above


def write_command(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "no python3.12 in PATH"),
        (
            "echo 'shim: python3.12 is not chosen' >&2; echo tips; exit 127",
            "does not start: shim: python3.12",
        ),
        ('[ "$1" = -V ] || { mkdir -p "$3/bin"; touch "$3/bin/python"; echo no ensurepip; exit 1; }', "no ensurepip"),
    ],
)
def test_a_set_without_an_interpreter_is_skipped_with_the_reason_and_leaves_nothing(
    script: str | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bin").mkdir()
    if script is not None:
        write_command(tmp_path / "bin" / "python3.12", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin" if script else str(tmp_path / "bin"))
    arguments = ["--only", "newest-3.12", "--folder", str(tmp_path / "sets")]
    assert version_matrix.main(arguments) == 1  # nothing was run
    out = capsys.readouterr().out
    assert out.startswith("newest-3.12  skipped: ")
    assert reason in out
    assert out.endswith("0 passed, 0 failed, 1 skipped (sets)\n")
    assert list((tmp_path / "sets").iterdir()) == []


def test_skipped_and_failed_tests_are_named_above_the_sum(tmp_path: Path) -> None:
    write_command(
        tmp_path / "bin" / "python",
        "printf '%s\\n' ..s 'SKIPPED [1] a.py:3: no browser' 'FAILED b.py::test_c - why' '1 failed in 2s'\nexit 1",
    )
    passed, lines = version_matrix.run_tests(tmp_path / "bin" / "python", tmp_path / "a.log", [])
    assert not passed
    assert lines == ["SKIPPED [1] a.py:3: no browser", "FAILED b.py::test_c - why", "1 failed in 2s"]


def test_the_oldest_set_holds_the_lower_bound_of_each_package_that_has_one() -> None:
    setup = 'x = ["torch>=2.6.0,<2.15", "av>=18.1.0,<20",  # why\n "ruff"], ["torch>=2.6.0,<2.15"]'
    assert version_matrix.oldest_versions(setup) == ["torch==2.6.0", "av==18.1.0"]
    own = version_matrix.oldest_versions((ROOT / "setup.py").read_text(encoding="utf-8"))
    assert {"torch", "torchvision", "av", "numpy", "pytorchvideo"} <= {line.partition("==")[0] for line in own}
