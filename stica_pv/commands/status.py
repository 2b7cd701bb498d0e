"""Print the state of runs: `stica-pv status [FOLDER ...]`.

FOLDER is the OUTPUT_DIR of a run, which is described in full, or a folder of runs (default: output), which are a table:
steps, epochs, last loss, last checkpoint, age of the last record, and whether they run, have ended, or failed.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stica_pv.command_line import command_parser, exit_code
from stica_pv.safe_text import printable


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("status", __doc__)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="a run, or a folder of runs (output)")
    return parser


def show(folders: Sequence[str]) -> None:
    """Print the status of runs.

    Raises:
        UsageError: There is no such folder, or a folder without a run.
    """
    from stica_pv.errors import UsageError
    from stica_pv.launch.status import find_runs, status, table

    for folder in map(Path, folders):
        runs = find_runs(folder)
        if not runs:
            raise UsageError(f"--status {folder}: there is no run")
        if runs[0] != folder:
            print("\n".join(map(printable, table(runs))))
            continue
        print(folder)
        for name, text in status(folder).items():
            print(f"  {name:<10} {printable(text)}")


def run(args: argparse.Namespace) -> None:
    """Print the status of the runs, also that there are none yet in the default folder."""
    if not args.folders and not Path("output").is_dir():
        print("no runs yet in output")
        return
    show(args.folders or ["output"])


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: a folder has no run."""
    return exit_code(partial(run, create_parser().parse_args(argv)))
