"""Modules outside the package: allowed by the user, or offered by an installed package."""

import subprocess
import sys
from pathlib import Path

import pytest

from stica_pv.command_line import IMPORTS
from stica_pv.commands.program import main

MODULE = """
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.roles import NETWORK
declare_task("mine", "Mine: a test")
declare_keys(__name__, "MINE", NETWORK, Key("WEIGHT", 2.0, "Weight of mine."), task="mine")
"""
SHOW = """
import sys
from stica_pv.config.imports import allowed_modules
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
try:
    print(sorted(allowed_modules()))
except UsageError as error:
    sys.exit(f"error: {error}")
print(get_cfg().MINE.WEIGHT)
"""


def install(folder: Path, module: str, code: str) -> Path:
    """Writes what `pip install` leaves of a package with a plugin."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[stica_pv.plugins]\nmine = {module}\n")
    return folder


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{SHOW}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_an_installed_plugin_declares_its_keys_without_any_flag(tmp_path: Path):
    done = run(install(tmp_path, "stica_mine", MODULE))
    assert (done.returncode, done.stdout) == (0, "['stica_mine']\n2.0\n"), done.stderr


def test_a_plugin_that_cannot_be_imported_is_named_with_its_package(tmp_path: Path):
    done = run(install(tmp_path, "stica_mine", "import a_module_that_is_absent\n"))
    assert done.returncode == 1
    assert done.stderr == (
        "error: plugin mine of the package stica_mine cannot be imported: No module named 'a_module_that_is_absent'; "
        "update or uninstall it\n"
    )


RAISING = {
    "raise RuntimeError('boom')": "RuntimeError: boom (",
    "import sys; sys.exit(3)": "SystemExit: 3 (",
    "from stica_pv import no_such_name": "ImportError: cannot import name",
    "def broken(:": "SyntaxError: invalid syntax (",
}


@pytest.mark.parametrize("code", RAISING)
def test_a_module_that_raises_is_one_line(
    code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "raising_module.py").write_text(f"{code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(IMPORTS, "")
    assert main(["explain", "TASK", "--import", "raising_module"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: --import: raising_module: {RAISING[code]}")
    assert "raising_module.py" in message
    assert message.count("\n") == 1


def test_a_plugin_that_raises_is_named_with_its_package(tmp_path: Path):
    done = run(install(tmp_path, "stica_mine", "raise RuntimeError('boom')\n"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: plugin mine of the package stica_mine cannot be imported: RuntimeError: boom")
    assert done.stderr.count("\n") == 1


COMMANDS = {
    "train": ["--cfg", "stica/demo", "--print_cfg"],
    "explain": ["TASK"],
    "inspect-batch": ["--cfg", "stica/demo"],
    "report": ["output"],
    "gallery": ["output"],
    "export": ["a.pyth", "b.pth"],
    "extract-features": ["--checkpoint", "a.pyth", "--data", ".", "--output", "out"],
    "check-dataset": ["--cfg", "stica/demo"],
    "make-shards": ["--cfg", "stica/demo", "--target", "shards"],
    "push-to-hub": ["a.pyth", "me/small"],
    "convert": ["a.pth", "b.pyth"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_module_that_does_not_exist_is_one_line_in_every_command(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(IMPORTS, "")
    assert main([command, *COMMANDS[command], "--import", "no_such_module"]) == 2
    assert capsys.readouterr().err.startswith("error: --import: no_such_module: No module named")


def test_a_recorded_module_is_one_of_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv(IMPORTS, "")
    assert main(["train", "--import", "json", "--cfg", "stica/demo", "--print_cfg", "CUSTOM_IMPORTS", "[wave]"]) == 0
    assert "CUSTOM_IMPORTS:\n- wave\n- json\n" in capsys.readouterr().out
