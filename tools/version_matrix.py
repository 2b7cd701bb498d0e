#!/usr/bin/env python3
"""Runs tests with the oldest and the newest allowed packages: `python tools/version_matrix.py [--only oldest-3.11]`.

Each set has a virtual environment in FOLDER, kept for the next call, and a log beside it. A set whose interpreter is
missing or whose packages cannot be installed is skipped with the reason, and each test that skips itself is named with
its own. The tool needs nothing but Python's own modules.
"""

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = "test,eval,export,report,flow"
SHOWN = ("torch", "torchvision", "av", "numpy", "pytorchvideo", "onnx")
INSTALL_LIMIT_S, TEST_LIMIT_S = 3600, 7200
NOT_PASSED = ("SKIPPED ", "FAILED ", "ERROR ")  # how pytest's lines of them begin


@dataclass(frozen=True)
class PackageSet:
    """Packages to test with.

    Attributes:
        python: Version of the interpreter, as ``3.12``.
        oldest: Whether every package is the oldest that setup.py allows; else pip chooses the newest.
    """

    python: str
    oldest: bool = False

    @property
    def name(self) -> str:
        """Name of the virtual environment."""
        return f"{'oldest' if self.oldest else 'newest'}-{self.python}"


SETS = (PackageSet("3.11", oldest=True), PackageSet("3.12"), PackageSet("3.13"))


class Skipped(Exception):  # noqa: N818 - it names what happened
    """A set cannot be run here; the message is the reason."""


def oldest_versions(setup: str) -> list[str]:
    """Returns ``name==version`` for each lower bound in the text of setup.py."""
    bounds = re.findall(r'"([\w-]+)>=([\w.]+)[^"]*"', setup)
    return [f"{name}=={version}" for name, version in dict.fromkeys(bounds)]


def find_python(version: str) -> str:
    """Returns the command of an interpreter; raises `Skipped` if there is none that starts."""
    command = shutil.which(f"python{version}")
    if command is None:
        raise Skipped(f"no python{version} in PATH")
    started = subprocess.run([command, "-V"], capture_output=True, text=True, check=False, timeout=60)
    if started.returncode:
        raise Skipped(f"{command} does not start: {lines_of(started.stderr + started.stdout)[0]}")
    return command


def lines_of(text: str) -> list[str]:
    """Returns the lines of a text that are not empty, of no text one line that says so."""
    return [line.strip() for line in text.splitlines() if line.strip()] or ["no output"]


def make_environment(python: str, environment: Path) -> None:
    """Makes an empty virtual environment; raises `Skipped`, and leaves nothing, if the interpreter cannot."""
    command = [find_python(python), "-m", "venv", str(environment)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_LIMIT_S)
    if done.returncode:  # as where Debian's python3-venv is missing
        shutil.rmtree(environment, ignore_errors=True)
        raise Skipped(f"{command[0]} makes no virtual environment: {' '.join(lines_of(done.stderr + done.stdout))}")


def install(chosen: PackageSet, folder: Path) -> Path:
    """Makes or updates the virtual environment and returns its interpreter."""
    environment = folder / chosen.name
    python = environment / "bin" / "python"
    if not python.exists():
        make_environment(chosen.python, environment)
    command = [str(python), "-m", "pip", "install", "--quiet", "-e", f".[{EXTRAS}]"]
    if chosen.oldest:
        limits = folder / f"{chosen.name}.txt"
        limits.write_text("\n".join(oldest_versions((ROOT / "setup.py").read_text(encoding="utf-8"))) + "\n")
        command += ["-c", str(limits)]
    else:
        command += ["--upgrade", "--upgrade-strategy", "eager"]  # what was the newest when it was made
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=INSTALL_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"the packages were not installed within {INSTALL_LIMIT_S} s") from error
    if done.returncode:
        raise Skipped(f"the packages cannot be installed: {lines_of(done.stderr)[-1]}")
    return python


def versions(python: Path) -> str:
    """Returns the versions of the packages that matter, of an environment."""
    code = f"from importlib.metadata import version; print(*[f'{{n}} {{version(n)}}' for n in {SHOWN}], sep=', ')"
    return lines_of(subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout)[-1]


def run_tests(python: Path, log: Path, arguments: list[str]) -> tuple[bool, list[str]]:
    """Returns whether the tests passed, and pytest's lines of skipped and failed tests and of the sum."""
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-rsfE", *arguments]
    try:
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=TEST_LIMIT_S
            )
    except subprocess.TimeoutExpired:
        return False, [f"stopped after {TEST_LIMIT_S} s"]
    lines = lines_of(log.read_text(encoding="utf-8"))
    return done.returncode == 0, [*(line for line in lines[:-1] if line.startswith(NOT_PASSED)), lines[-1]]


def run_set(chosen: PackageSet, folder: Path, arguments: list[str]) -> str:
    """Runs one set and prints its line; returns ``passed``, ``failed`` or ``skipped``."""
    try:
        python = install(chosen, folder)
    except Skipped as reason:
        print(f"{chosen.name:12} skipped: {reason}", flush=True)
        return "skipped"
    print(f"{chosen.name:12} {versions(python)}", flush=True)
    log = folder / f"{chosen.name}.log"
    passed, lines = run_tests(python, log, arguments)
    for line in lines[:-1]:
        print(f"{'':12} {line}")
    print(f"{'':12} {'passed' if passed else 'FAILED'}: {lines[-1]} ({log})", flush=True)
    return "passed" if passed else "failed"


def main(argv: list[str]) -> int:
    """Returns 1 if a set failed or none could be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".versions", help="of environments and logs (.versions)")
    parser.add_argument("--only", choices=[chosen.name for chosen in SETS], help="one set alone")
    parser.add_argument("tests", nargs="*", default=[], help="files and options for pytest, behind -- (all tests)")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    results = [
        run_set(chosen, args.folder.resolve(), args.tests) for chosen in SETS if args.only in (None, chosen.name)
    ]
    print(", ".join(f"{results.count(what)} {what}" for what in ("passed", "failed", "skipped")) + " (sets)")
    return int("failed" in results or "passed" not in results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
