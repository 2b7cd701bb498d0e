"""Check a data set before training: `stica-pv check-dataset --cfg FILE [KEY VALUE ...]`.

Reads the header of every file of the training list, writes the manifest, and prints statistics of the list and the
excluded files; finds duplicates, and reads a few samples. The report is OUTPUT_DIR/data_check.html, its numbers are in
data_check.csv, its files in data_files.csv. Exits with 0 if training would accept the list, else with 2 and the reason.
"""

import argparse
from functools import partial

from stica_pv.command_line import add_cfg_arguments, add_name_argument, command_parser, exit_code
from stica_pv.commands.one_recipe import parse_one, read_one


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("check-dataset", __doc__, imports=True)
    add_cfg_arguments(parser, "one configuration")
    add_name_argument(parser)
    parser.add_argument("--names", type=int, default=5, metavar="N", help="files to name per cause, 0: all (5)")
    parser.add_argument("--no-page", action="store_true", help="write only csv files")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = create_parser()
    args = parse_one(parser, argv)
    if args.names < 0:
        parser.error(f"--names: expected a number >= 0, got {args.names}")
    return args


def run(args: argparse.Namespace) -> None:
    """Check the data set and print the results."""
    cfg = read_one(args, logs="stica_pv")
    from stica_pv.workflows.check_dataset import check_data

    check_data(cfg, named=args.names, page=not args.no_page)


def main(argv: list[str]) -> int:
    """Run the command line; 2: training would refuse the list."""
    args = parse(argv)
    return exit_code(partial(run, args), interrupted="stopped; run the same command again to continue")
