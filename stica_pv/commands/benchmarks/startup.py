"""Cost of a run before its first step: starting Python, reading headers, opening a long list with its manifest.

Processor seconds, which the wall needs at least, except where a row says so. Without --data the headers are those of
generated clips; the entries of the long list are empty files.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from stica_pv.commands.benchmarks.loader_clips import chosen_files, generate
from stica_pv.commands.benchmarks.records import Row, Target
from stica_pv.commands.benchmarks.timing import alternate
from stica_pv.commands.processes import command_of, environment_of_commands, module_of
from stica_pv.data.manifest.manifest import probe, probe_all
from stica_pv.data.manifest.media_info import COLUMNS
from stica_pv.errors import UsageError

REPEATS = 5
GENERATED, HEADERS = 16, 512
HELP_S, IMPORT_S, HEADERS_A_S, LIST_S, LIST_MB = 1.5, 3.0, 500.0, 2.0, 200.0
PER_FOLDER = 600
PROCESSES = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this benchmark."""
    parser.add_argument("--data", default="", metavar="FOLDER", help="videos whose headers are read")
    parser.add_argument("--entries", type=int, default=240_000, metavar="N", help="entries of the long list (240000)")


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows as they are measured."""
    if args.entries < 1:
        raise UsageError(f"--entries: expected a number >= 1, got {args.entries}")
    yield from starting(args.repeats)
    with tempfile.TemporaryDirectory() as folder:
        paths = chosen_files(args.data, HEADERS) if args.data else generate(Path(folder), GENERATED)
        yield from reading_headers(linked(paths, Path(folder), HEADERS), args.repeats)
    with tempfile.TemporaryDirectory() as folder:
        yield from opening(long_list(Path(folder), args.entries), args.entries, args.repeats)


def starting(repeats: int) -> Iterator[Row]:
    """Yields the command line and the import, compared with the import of torch."""
    ways = {
        "help": command(*command_of("train", "--help")),
        "import": command(sys.executable, "-c", "import stica_pv.workflows.run"),
        "torch": command(sys.executable, "-c", "import torch"),
        "python": command(sys.executable, "-c", "pass"),
    }
    taken = alternate(ways, repeats, clock_of_all)
    target = Target("figure", "<=", HELP_S)
    yield Row.paired("stica-pv train --help", "s", taken["help"], "python -c pass", taken["python"], target=target)
    target = Target("figure", "<=", IMPORT_S)
    yield Row.paired(
        "import of stica_pv.workflows.run", "s", taken["import"], "import of torch", taken["torch"], target=target
    )


def command(*arguments: str) -> Callable[[], None]:
    """Returns a function that runs a command to its end, without its output."""

    def run() -> None:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, env=environment_of_commands())

    return run


def clock_of_all() -> float:
    """Returns the processor seconds of this process and of all its ended children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def linked(paths: list[str], folder: Path, count: int) -> list[str]:
    """Returns links to the files: `probe_all` reads a path only once."""
    links = [folder / f"link{number}{Path(paths[number % len(paths)]).suffix}" for number in range(count)]
    for number, link in enumerate(links):
        link.symlink_to(Path(paths[number % len(paths)]).resolve())
    return [str(link) for link in links]


def reading_headers(paths: list[str], repeats: int) -> Iterator[Row]:
    """Yields headers read by isolated worker processes, compared with reading without them."""
    ways = {
        "guarded": lambda: probe_all(paths, None, PROCESSES),
        "plain": lambda: [probe(path) for path in paths],
    }
    taken = alternate(ways, repeats, clock_of_all)
    rate = {way: [len(paths) / seconds for seconds in found] for way, found in taken.items()}
    yield Row.paired(
        "headers of files, guarded",
        "files a core second",
        rate["guarded"],
        "without decoding processes",
        rate["plain"],
        target=Target("figure", ">=", HEADERS_A_S),
    )


def long_list(folder: Path, entries: int) -> Path:
    """Writes empty files, a list of them and a manifest in which they are videos with audio."""
    names = [f"class {i // PER_FOLDER:03}/{i:011x}_{i % 300:06}_{i % 300 + 10:06}.mp4" for i in range(entries)]
    for name in sorted({name.partition("/")[0] for name in names}):
        (folder / "videos" / name).mkdir(parents=True)
    lines = [",".join(COLUMNS)]
    for i, name in enumerate(names):
        path = folder / "videos" / name
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        facts = (
            f"0,{path.stat().st_mtime_ns},{10 + i % 7 / 7:.6f},{10 + i % 5 / 5:.6f},29.97003,340,256,h264,aac,44100,2,"
        )
        lines.append(f"{path},{facts}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = "".join(f"videos/{name} {i // PER_FOLDER}\n" for i, name in enumerate(names))
    (folder / "train.csv").write_text(text, encoding="utf-8")
    return folder


def opening(folder: Path, entries: int, repeats: int) -> Iterator[Row]:
    """Yields time and memory of a process that opens the list and then forks two workers."""
    arguments = [*module_of("stica_pv.commands.benchmarks.startup_list"), str(folder)]
    found = []
    for _ in range(repeats):
        done = subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment_of_commands())
        found.append(json.loads(done.stdout))
    name = f"a list of {entries:,} files, opened with its manifest"
    yield Row.paired(
        name,
        "s",
        [one["cpu_s"] for one in found],
        "the same by the wall",
        [one["wall_s"] for one in found],
        target=Target("figure", "<=", LIST_S),
    )
    yield Row.single(
        f"{name}: memory of the main process and two workers",
        "MB",
        [one["memory_mb"] for one in found],
        target=Target("figure", "<=", LIST_MB),
        note="memory: proportional set size after both workers read every entry, minus that without the list",
    )
