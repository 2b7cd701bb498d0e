"""The console program: its commands, help and refusals, and the scripts of tools/ that start the same code."""

import importlib
import os
import re
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from stica_pv import __version__
from stica_pv.command_line import SCRIPTS, as_called, exit_code
from stica_pv.commands import program
from stica_pv.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
LIGHT = "import atexit, os, sys; atexit.register(lambda: os._exit(1) if {{*{heavy}}} & {{*sys.modules}} else None)"
HEAVY = ("torch", "numpy", "av", "fvcore", "yaml")
DEVELOPER_SCRIPTS = {
    "released_differences.py",
    "version_matrix.py",
    "write_model_zoo.py",
    "write_reference.py",
}  # of a clone, without a command


def children_s() -> float:
    """Processor time of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_lists_every_command_and_loads_nothing_heavy():
    code = f"{LIGHT.format(heavy=HEAVY)}; from stica_pv.commands.program import main; main(['--help'])"
    begin = children_s()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert children_s() - begin < 1
    for name, what in program.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_has_a_module_with_a_parser(name: str, capsys: pytest.CaptureFixture[str]):
    command = program.load_command(name)
    assert command.create_parser().prog == f"stica-pv {name}"
    assert "tools/" not in (command.__doc__ or "")
    with suppress(SystemExit):
        command.main(["--help"])
    assert f"usage: stica-pv {name} " in capsys.readouterr().out


def test_no_parser_needs_what_is_heavy():
    names = [name.replace("-", "_") for name in program.COMMANDS]
    modules = [f"__import__('stica_pv.commands.{name}', fromlist='x').create_parser()" for name in names]
    code = "; ".join((LIGHT.format(heavy=HEAVY), *modules))
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=300).returncode == 0


def test_an_unknown_command_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert program.main(["trian"]) == 2
    assert capsys.readouterr().err == "error: unknown command trian (did you mean train?); stica-pv --help lists all\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]):
    assert program.main([]) == 2
    assert capsys.readouterr().out.startswith("usage: stica-pv ")


def test_the_module_is_the_program():
    done = subprocess.run([sys.executable, "-m", "stica_pv", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"stica-pv {__version__}\n", "")


def test_every_script_starts_a_command_and_nothing_else():
    scripts = {path.name for path in (ROOT / "tools").glob("*.py")} - DEVELOPER_SCRIPTS
    assert scripts == {name.split()[0] for name in SCRIPTS.values()}
    assert SCRIPTS.keys() <= program.COMMANDS.keys()
    for name, script in SCRIPTS.items():
        if " " not in script:
            text = (ROOT / "tools" / script).read_text(encoding="utf-8")
            assert f"\nfrom stica_pv.commands.{name.replace('-', '_')} import main" in text
            assert len(text.splitlines()) < 15


def test_a_script_runs_from_another_folder_without_an_installation(tmp_path: Path):
    command = [sys.executable, "-S", str(ROOT / "tools" / "run_net.py"), "--help"]  # -S: without site-packages
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n  python tools/run_net.py --cfg stica/demo\n" in done.stdout
    assert "\n  torchrun --nproc-per-node 8 tools/run_net.py --cfg " in done.stdout
    assert "stica-pv" not in done.stdout


def test_messages_name_commands_as_the_user_called_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def act() -> None:
        raise UsageError("use `stica-pv convert` for others; stica-pv recipes lists all")

    monkeypatch.setattr(sys, "argv", [str(ROOT / "tools" / "export.py")])
    assert exit_code(act) == 2
    assert capsys.readouterr().err == (
        "error: use `python tools/convert_checkpoint.py` for others; stica-pv recipes lists all\n"
    )
    assert as_called("stica-pv status x") == "python tools/run_net.py --status x"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/stica-pv", "export"])
    assert as_called("torchrun -m stica_pv train or stica-pv train") == "torchrun -m stica_pv train or stica-pv train"


def test_recipes_are_listed_with_their_first_line(capsys: pytest.CaptureFixture[str]):
    recipes = importlib.import_module("stica_pv.commands.recipes")
    assert recipes.main(["stica/k400_ref"]) == 0
    assert re.fullmatch(r"stica/k400_reference  Paper: STiCA .*\n", capsys.readouterr().out)
    assert recipes.main(["stica/demo", "--names"]) == 0
    assert capsys.readouterr().out == "stica/demo\n"
    assert recipes.main(["nothing"]) == 2
