"""Measures parts of the project against what a user would run instead: `stica-pv benchmark NAME [--json FILE]`.

docs/results/benchmarks.md holds current figures. Each benchmark has options: `stica-pv benchmark step --help`.
"""

import argparse
import importlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from stica_pv.command_line import command_parser, exit_code, set_environment
from stica_pv.commands.outputs import write_text
from stica_pv.commands.processes import command_of, environment_of_commands
from stica_pv.errors import UsageError

# A name is a module in benchmarks/ with `add_arguments(parser)`, `rows(args)`, which yields a records.Row as soon as it
# is measured, and REPEATS, how many measurements a figure has unless --repeats says otherwise.
BENCHMARKS = {
    "loader": "files to network-ready tensors on one core, compared with pytorchvideo and with decoding alone",
    "startup": "help, import, headers, and a list of 240,000 files with its manifest: time and memory",
    "step": "crops, pooling, heads and losses compared with the trunk, a loop over crops, and input crops",
    "gpu": "a training step with every means for speed, compared with the plain one and with the trunk alone",
    "scaling": "time as batch, frames, crops, processes and the list of files grow, with exponents",
    "backbones": "cost of every video backbone, and of STiCA's crops and heads on it; not part of all",
}
APART = ("backbones",)
FORMAT = 1


def parse(name: str, module: ModuleType, argv: list[str]) -> argparse.Namespace:
    """Parses the options of a benchmark."""
    parser = command_parser("benchmark", module.__doc__)
    parser.prog = f"{parser.prog} {name}"
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, rows and warnings to this file")
    parser.add_argument(
        "--repeats",
        type=int,
        default=module.REPEATS,
        metavar="N",
        help=f"measurements of which median and quartiles are reported ({module.REPEATS})",
    )
    module.add_arguments(parser)
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error(f"--repeats: expected a number >= 1, got {args.repeats}")
    check_target(args.json)
    return args


def check_target(path: Path | None) -> None:
    """Refuses a file that could not be written in the end."""
    if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise UsageError(f"--json {path}: expected a file in a folder that is there")


def run(name: str, argv: list[str]) -> None:
    """Measures one benchmark: prints its table line by line and writes its report, of what it came to if it fails."""
    from stica_pv.commands.benchmarks.machine import Watch, describe, describe_machine, warnings_of
    from stica_pv.commands.benchmarks.records import Row, header, noisy

    module = importlib.import_module(f"stica_pv.commands.benchmarks.{name}")
    args = parse(name, module, argv)
    watch = Watch()
    measured: list[Row] = []
    batch = f"; batch {args.batch}" if "batch" in args else ""
    print(f"{name}: {describe(describe_machine())}{batch}\n\n{header()}", flush=True)
    error = "it was stopped"
    try:
        for row in rows_of(module, args):
            measured.append(row)
            print(row.as_line(), flush=True)
        error = ""
    except Exception as cause:
        error = f"{type(cause).__name__}: {cause}"
        raise
    finally:
        machine, taken = describe_machine(), watch.taken()
        warnings = [*warnings_of(taken), *noisy(measured)]
        notes = list(dict.fromkeys(row.note for row in measured if row.note))
        print("", *notes, *(f"warning: {text}" for text in warnings), sep="\n", flush=True)
        report: dict[str, Any] = {
            "benchmark": name,
            "command": ["benchmark", name, *argv],
            "machine": machine,
            "noise": taken,
        }
        report |= {"warnings": warnings, "rows": [row.as_json() for row in measured]}
        write(args.json, [report | ({"error": error} if error else {})])


def rows_of(module: ModuleType, args: argparse.Namespace) -> Iterator[Any]:
    """Yields the rows of a benchmark; a full GPU memory is reported as such."""
    from torch import OutOfMemoryError

    try:
        yield from module.rows(args)
    except OutOfMemoryError as error:
        less = f"use --batch {args.batch // 2}" if getattr(args, "batch", 0) > 3 else "this needs a larger one"
        raise UsageError(f"the memory of the GPU is full ({str(error).splitlines()[0]}): {less}") from error


def run_all(argv: list[str]) -> int:
    """Runs the benchmarks one after the other, each in a process of its own, and joins their reports."""
    parser = command_parser("benchmark", run_all.__doc__)
    parser.prog = f"{parser.prog} all"
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all reports to this file")
    args = parser.parse_args(argv)
    check_target(args.json)
    reports: list[dict[str, Any]] = []
    worst = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in (key for key in BENCHMARKS if key not in APART):
                path = Path(folder) / f"{name}.json"
                done = subprocess.run(
                    command_of("benchmark", name, "--json", str(path)), check=False, env=environment_of_commands()
                )
                worst = max(worst, abs(done.returncode))
                if path.is_file():
                    reports += json.loads(path.read_text(encoding="utf-8"))["reports"]
                print(flush=True)
    finally:  # when it is stopped: of those that were finished
        if reports:
            write(args.json, reports)
    return worst


def write(path: Path | None, reports: list[dict[str, Any]]) -> None:
    """Writes reports in the layout that every benchmark shares."""
    if path is not None:
        text = json.dumps({"format": FORMAT, "reports": reports}, indent=1, ensure_ascii=False)
        write_text(path, text + "\n")


def create_parser() -> argparse.ArgumentParser:
    """Returns a parser of the first argument; the options follow from it."""
    width = max(map(len, BENCHMARKS))
    lines = [f"  {key:<{width}}  {what}" for key, what in BENCHMARKS.items()]
    lines.append(f"  {'all':<{width}}  all but {', '.join(APART)}, one after the other")
    parser = command_parser("benchmark", __doc__, epilog="\n".join(("benchmarks:", *lines)))
    parser.add_argument("name", metavar="NAME", choices=(*BENCHMARKS, "all"), help="one of the benchmarks below")
    return parser


def main(argv: list[str]) -> int:
    """Runs the command line: the name of a benchmark, then its own options; 2: what is asked for cannot be done."""
    set_environment()
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # below it, the profiler notes each of its stages on stderr
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # processes that train together warn of each other's caution
    if argv[:1] in (["--help"], ["-h"]):
        create_parser().print_help()
        return 0
    return exit_code(partial(start, argv[0] if argv else "", argv[1:]))


def start(name: str, argv: list[str]) -> int:
    """Runs what a name stands for."""
    if name == "all":
        return run_all(argv)
    if name not in BENCHMARKS:
        raise UsageError(f"expected a benchmark, one of {', '.join((*BENCHMARKS, 'all'))}; got {name or 'nothing'}")
    run(name, argv)
    return 0
