"""Check a data set before training: `stica-pv check-dataset --cfg FILE [KEY VALUE ...]`.

Reads the header of every file of the training list, writes the manifest, and prints statistics of the list and the
excluded files; finds duplicates, and reads a few samples. The report is OUTPUT_DIR/data_check.html, its numbers are in
data_check.csv, its files in data_files.csv. Exits with 0 if training would accept the list, else with 2 and the reason.
"""

import argparse
import logging
import sys
from functools import partial

from stica_pv.command_line import (
    add_cfg_arguments,
    add_name_argument,
    command_parser,
    exit_code,
    log_to_terminal,
    parse_cfg_arguments,
)


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
    args = parse_cfg_arguments(parser, argv)
    if len(args.cfg) != 1:
        parser.error(f"--cfg: expected one FILE, got {len(args.cfg)}")
    if args.names < 0:
        parser.error(f"--names: expected a number >= 0, got {args.names}")
    return args


def run(args: argparse.Namespace) -> None:
    """Check the data set and print the results."""
    from stica_pv.config.declared import check_keys

    check_keys(args.cfg, args.overrides)
    from stica_pv.launch.configuration import configure
    from stica_pv.workflows.check_dataset import check_data
    from stica_pv.workflows.run import import_custom

    log_to_terminal(level=logging.WARNING, stream=sys.stdout)
    logging.getLogger("stica_pv").setLevel(logging.INFO)
    cfg = configure(args.cfg[0], args.overrides, name=args.name)
    import_custom(cfg)
    check_data(cfg, named=args.names, page=not args.no_page)


def main(argv: list[str]) -> int:
    """Run the command line; 2: training would refuse the list."""
    args = parse(argv)
    return exit_code(partial(run, args), interrupted="stopped; run the same command again to continue")
