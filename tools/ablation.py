#!/usr/bin/env python3
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stica_pv.command_line import SIGNALLED, exit_code  # noqa: E402 - found by the line above

EXAMPLES = """
examples:
  python tools/ablation.py projects/stica/ablations/controlled/grid.yaml
  python tools/ablation.py projects/stica/ablations/controlled/grid.yaml --jobs 2
  python tools/ablation.py projects/stica/ablations/controlled/grid.yaml --launcher slurm
  python tools/ablation.py projects/stica/ablations/controlled/grid.yaml --table
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", type=Path, metavar="GRID.yaml", help="cells, the value to choose, and replicates")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="for every run")
    parser.add_argument("--out", type=Path, help="folder of the runs and the page (output/ablations/<folder of GRID>)")
    parser.add_argument("--launcher", choices=("slurm",), help="submit what is not finished as one array job and stop")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores (1)")
    parser.add_argument("--table", action="store_true", help="only write the page of what there is")
    args = parser.parse_intermixed_args(argv)
    if args.jobs < 1:
        parser.error(f"--jobs: expected a number of runs >= 1, got {args.jobs}")
    args.out = args.out or Path("output/ablations") / args.grid.resolve().parent.name
    return args


def act(args: argparse.Namespace) -> int:
    """Runs what is not finished, then writes the page; 1 if a run failed."""
    from ablations.grid import read_grid
    from ablations.settings import check_settings
    from ablations.table import page, plot

    grid = read_grid(args.grid)
    choosing = grid.choosing(args.out, args.overrides)
    check_settings(choosing, lambda run: grid.choice.score(run) is not None, root=ROOT)
    failed = [] if args.table else work([run for run in choosing if grid.choice.score(run) is None], args)
    if not (args.table or args.launcher):
        check_choice_is_made(grid, [run for run in choosing if run not in failed])
    chosen = grid.chosen(args.out, args.overrides)
    measuring = [] if chosen is None else grid.measuring(args.out, args.overrides, chosen)
    check_settings(measuring, lambda run: run.scores() is not None, root=ROOT)
    if not args.table:
        failed += work([run for run in measuring if run.scores() is None], args)
    args.out.mkdir(parents=True, exist_ok=True)
    text = page(grid, choosing, measuring, chosen)
    (args.out / "ablation.md").write_text(text, encoding="utf-8")
    plot(grid, measuring, args.out / "ablation.png")
    print(text)
    print(f"written: {args.out / 'ablation.md'}, {args.out / 'ablation.png'}")
    if chosen is None:
        print(f"the value of {grid.choice.key} is not chosen yet: the same command goes on")
    for run in failed:
        print(f"failed: {run.cell}/{run.name}, log in {run.folder}", file=sys.stderr)
    return int(bool(failed))


def check_choice_is_made(grid, ended: Sequence) -> None:  # noqa: ANN001 - a Grid, imported late
    """Raises `UsageError` if a choosing run came to its end without the number that chooses."""
    from stica_pv.errors import UsageError

    for run in ended:
        if grid.choice.score(run) is None:
            raise UsageError(
                f"{run.folder} ended without {grid.choice.measure}: TEST.ONLINE_KNN_EPOCHS in WITH has to divide "
                "SOLVER.MAX_EPOCH"
            )


def work(runs: Sequence, args: argparse.Namespace) -> list:
    """Does the runs, some at a time or as one array job; returns those that failed.

    Raises:
        SignalReceived: This command or a run was stopped by a signal; the runs have saved and ended.
    """
    from stica_pv.errors import SignalReceived
    from stica_pv.launch.relay import ENDING, SignalRelay

    if args.launcher and runs:
        submit_all(runs, args.launcher)
        return []
    environment, output = dict(os.environ), None
    if args.jobs > 1:  # what they print would be mixed up; each has its log
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.jobs)))
        output = subprocess.DEVNULL
    stopped_by = 0

    def do(number: int, run) -> int:  # noqa: ANN001 - a Run, imported late
        nonlocal stopped_by
        if relay.number or stopped_by:
            return 1
        print(f"run {number} of {len(runs)}: {run.cell}/{run.name}\n", end="", flush=True)  # in one piece
        command = [sys.executable, str(ROOT / "tools" / "run_net.py"), *run.arguments]
        code = subprocess.run(command, check=False, env=environment, stdout=output).returncode
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


def submit_all(runs: Sequence, launcher: str) -> None:
    """Submits the runs as one array job."""
    from stica_pv.launch.configuration import configure
    from stica_pv.launch.submit import submit

    cfgs = [configure(str(run.file), [*run.overrides, "OUTPUT_DIR", str(run.folder)], root=ROOT) for run in runs]
    for cfg in cfgs:
        cfg.freeze()
    for cfg, job in zip(cfgs, submit(cfgs, launcher), strict=True):
        print(f"job {job}: {cfg.OUTPUT_DIR}")


def main(argv: list[str]) -> int:
    """Runs the command line."""
    args = parse(argv)
    return exit_code(lambda: act(args), interrupted="stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
