"""Runs the ablations that test the claims of a paper, and writes one table of claims, figures and outcomes.

Repeating the command goes on where it was. Grids whose data folder is not given are left out, which the command says.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stica_pv.command_line import command_parser, exit_code
from stica_pv.commands import ablation
from stica_pv.commands.outputs import write_text
from stica_pv.errors import UsageError
from stica_pv.recipe_files import find_file

if TYPE_CHECKING:
    from stica_pv.commands.ablations.claims import Evidence

DEFAULT = "stica/ablations/evidence"
EXAMPLES = """
examples:
  stica-pv evidence --data lists=LISTS --data ucf101=VIDEOS --data grid=CLIPS --jobs 2
  stica-pv evidence --only controlled
  stica-pv evidence --table
"""


def create_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = command_parser("evidence", __doc__, epilog=EXAMPLES, imports=True)
    parser.add_argument("claims", nargs="?", default=DEFAULT, metavar="FILE", help=f"claims and grids ({DEFAULT})")
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME=FOLDER", help="folder of a data set; may be repeated"
    )
    parser.add_argument("--only", action="append", default=[], metavar="GRID", help="run this grid; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores (1)")
    parser.add_argument("--out", type=Path, default=Path("output/evidence"), help="folder of the runs and the table")
    parser.add_argument("--table", action="store_true", help="only write the table of what there is")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = create_parser()
    args = parser.parse_args(argv)
    if args.jobs < 1:
        parser.error(f"--jobs: expected a number of runs >= 1, got {args.jobs}")
    pairs = [one.partition("=") for one in args.data]
    if wrong := [given for given, (name, _, folder) in zip(args.data, pairs, strict=True) if not (name and folder)]:
        parser.error(f"--data: expected NAME=FOLDER, got {wrong[0]}")
    args.data = {name: folder for name, _, folder in pairs}
    return args


def act(args: argparse.Namespace) -> int:
    """Runs the grids that are not finished, then writes the table; 1 if a grid failed."""
    from stica_pv.commands.ablations.claims import claims_page, read_evidence

    evidence = read_evidence(Path(find_file(args.claims, option="FILE")))
    _check_names(args, evidence)
    failed = [] if args.table else [name for name in evidence.grids if not _run(name, evidence, args)]
    text = claims_page(evidence, args.out, f"stica-pv evidence {args.claims}")
    write_text(args.out / "evidence.md", text)
    print(text)
    print(f"written: {args.out / 'evidence.md'}")
    for name in failed:
        print(f"failed: {name}, runs in {args.out / name}", file=sys.stderr)
    return int(bool(failed))


def _check_names(args: argparse.Namespace, evidence: "Evidence") -> None:
    known = sorted({name for one in evidence.grids.values() for name in one.data})
    for option, given, expected in (("--data", args.data, known), ("--only", args.only, list(evidence.grids))):
        if wrong := [name for name in given if name not in expected]:
            raise UsageError(f"{option}: expected one of {', '.join(expected)}, got {wrong[0]}")
    for name, folder in args.data.items():
        if not Path(folder).is_dir():
            raise UsageError(f"--data {name}={folder}: there is no such folder")


def _run(name: str, evidence: "Evidence", args: argparse.Namespace) -> bool:
    """Runs one grid as `stica-pv ablation`; returns whether it did not fail."""
    tested = evidence.grids[name]
    if args.only and name not in args.only:
        return True
    if missing := [one for one in tested.data if one not in args.data]:
        print(f"{name}: left out, add {' '.join(f'--data {one}=FOLDER' for one in missing)}", flush=True)
        return True
    expected = f" (about {tested.hours:g} hours on 2 CPU cores)" if tested.hours is not None else ""
    print(f"{name}{expected}", flush=True)
    options = ["--out", str(args.out / name), "--jobs", str(args.jobs)]
    return ablation.act(ablation.parse([str(tested.grid.file), *tested.arguments(args.data), *options])) == 0


def main(argv: list[str]) -> int:
    """Runs the command line."""
    args = parse(argv)
    return exit_code(lambda: act(args), interrupted="stopped; the same command goes on")
