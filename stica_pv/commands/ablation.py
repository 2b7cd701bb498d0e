"""Runs a grid of configurations and reports, with intervals, the effect of each part.

Repeating the command goes on where it was: finished runs are not run again, unfinished ones continue.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stica_pv.command_line import SIGNALLED, command_parser, exit_code
from stica_pv.commands.outputs import write_output, write_text
from stica_pv.commands.processes import command_of, environment_of_commands
from stica_pv.recipe_files import find_file

if TYPE_CHECKING:
    from stica_pv.commands.ablations.grid import Grid, Run

EXAMPLES = """
examples:
  stica-pv ablation stica/ablations/controlled/grid
  stica-pv ablation stica/ablations/controlled/grid --jobs 2
  stica-pv ablation stica/ablations/controlled/grid --launcher slurm
  stica-pv ablation stica/ablations/controlled/grid --table
"""


def create_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = command_parser("ablation", __doc__, epilog=EXAMPLES, imports=True)
    parser.add_argument("grid", metavar="GRID.yaml", help="cells, the value to choose, and replicates; or a recipe")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="for every run")
    parser.add_argument("--out", type=Path, help="folder of the runs and the page (output/ablations/<folder of GRID>)")
    parser.add_argument("--launcher", choices=("slurm",), help="submit what is not finished as one array job and stop")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores (1)")
    parser.add_argument("--table", action="store_true", help="only write the page of what there is")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = create_parser()
    args = parser.parse_intermixed_args(argv)
    if args.jobs < 1:
        parser.error(f"--jobs: expected a number of runs >= 1, got {args.jobs}")
    return args


def act(args: argparse.Namespace) -> int:
    """Runs what is not finished, then writes the page; 1 if a run failed."""
    from stica_pv.commands.ablations.grid import read_grid
    from stica_pv.commands.ablations.settings import check_settings
    from stica_pv.commands.ablations.table import page, plot

    grid = read_grid(Path(find_file(args.grid, option="GRID.yaml")))
    args.out = args.out or Path("output/ablations") / grid.file.resolve().parent.name
    choosing = grid.choosing(args.out, args.overrides)
    check_settings(choosing, grid.has_chosen)
    failed = [] if args.table else work([run for run in choosing if not grid.has_chosen(run)], args)
    if not (args.table or args.launcher):
        check_choice_is_made(grid, [run for run in choosing if run not in failed])
    chosen = grid.chosen(args.out, args.overrides)
    measuring = [] if chosen is None else grid.measuring(args.out, args.overrides, chosen)
    check_settings(measuring, lambda run: run.scores() is not None)
    if not args.table:
        failed += work([run for run in measuring if run.scores() is None], args)
    text = page(grid, choosing, measuring, chosen)
    write_text(args.out / "ablation.md", text)
    write_output(args.out / "ablation.png", partial(plot, grid, measuring))
    print(text)
    print(f"written: {args.out / 'ablation.md'}, {args.out / 'ablation.png'}")
    if chosen is None and grid.choice is not None:
        print(f"the value of {grid.choice.key} is not chosen yet: the same command goes on")
    for run in failed:
        print(f"failed: {run.cell}/{run.name}, log in {run.folder}", file=sys.stderr)
    return int(bool(failed))


def check_choice_is_made(grid: "Grid", ended: Sequence["Run"]) -> None:
    """Raises `UsageError` if a choosing run came to its end without the number that chooses."""
    from stica_pv.errors import UsageError

    for run in ended:
        if grid.choice is not None and not grid.has_chosen(run):
            raise UsageError(
                f"{run.folder} ended without {grid.choice.measure}: TEST.ONLINE_KNN_EPOCHS in WITH has to divide "
                "SOLVER.MAX_EPOCH"
            )


def work(runs: Sequence["Run"], args: argparse.Namespace) -> list["Run"]:
    """Does the runs, some at a time or as one array job; returns those that failed.

    Raises:
        SignalReceived: This command or a run was stopped by a signal; the runs have saved and ended.
    """
    from stica_pv.errors import SignalReceived
    from stica_pv.launch.relay import ENDING, SignalRelay

    if args.launcher and runs:
        submit_all(runs, args.launcher)
        return []
    environment, output = environment_of_commands(), None
    if args.jobs > 1:  # what they print would be mixed up; each has its log
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.jobs)))
        output = subprocess.DEVNULL
    stopped_by = 0

    def do(number: int, run: "Run") -> int:
        nonlocal stopped_by
        if relay.number or stopped_by:
            return 1
        print(f"run {number} of {len(runs)}: {run.cell}/{run.name}\n", end="", flush=True)  # in one piece
        code = subprocess.run(
            command_of("train", *run.arguments), check=False, env=environment, stdout=output
        ).returncode
        stopped_by = stopped_by or next((number for number in ENDING if code == SIGNALLED + number), 0)
        return code

    with SignalRelay(send_to_children) as relay, ThreadPoolExecutor(args.jobs) as pool:
        codes = list(pool.map(do, range(1, len(runs) + 1), runs))
    if relay.number or stopped_by:
        raise SignalReceived(relay.number or stopped_by)
    return [run for run, code in zip(runs, codes, strict=True) if code]


def send_to_children(number: int) -> None:
    """Sends a signal to the runs that this process has started."""
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), number)


def submit_all(runs: Sequence["Run"], launcher: str) -> None:
    """Submits the runs as one array job."""
    from stica_pv.launch.configuration import configure
    from stica_pv.launch.submit import submit

    cfgs = [configure(str(run.file), [*run.overrides, "OUTPUT_DIR", str(run.folder)]) for run in runs]
    for cfg in cfgs:
        cfg.freeze()
    for cfg, job in zip(cfgs, submit(cfgs, launcher), strict=True):
        print(f"job {job}: {cfg.OUTPUT_DIR}")


def main(argv: list[str]) -> int:
    """Runs the command line."""
    args = parse(argv)
    return exit_code(lambda: act(args), interrupted="stopped; the same command goes on")
