"""Completion of a shell: commands, options, files, and names of recipes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stica_pv.commands import completion

pytest.importorskip("shtab", reason="the extra 'completion' is not installed")

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_shtab_stica_pv 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    with pytest.MonkeyPatch.context() as patch, (folder / "stica-pv").open("w") as file:
        patch.setattr(sys, "stdout", file)
        assert completion.main(["bash"]) == 0
    program = folder / "bin" / "stica-pv"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stica_pv "$@"\n')
    program.chmod(0o755)
    return folder / "stica-pv"


def completed(script: Path, *arguments: str) -> list[str]:
    command = ["bash", "-c", COMPLETE, "bash", str(script), *arguments]
    path = f"{script.parent / 'bin'}:/usr/bin:/bin"
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": path}, timeout=300)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_recipes(script: Path):
    assert completed(script, "stica-pv", "che") == ["check-dataset", "check-reader"]
    assert completed(script, "stica-pv", "train", "--pri") == ["--print_cfg"]
    assert completed(script, "stica-pv", "train", "--cfg", "stica/k400_") == [
        "stica/k400_30f",
        "stica/k400_crossmodal",
        "stica/k400_fast",
        "stica/k400_reference",
    ]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_with_every_command(shell: str, capsys: pytest.CaptureFixture[str]):
    assert completion.main([shell]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in completion.program.COMMANDS)
    assert "stica-pv recipes --names" in out
