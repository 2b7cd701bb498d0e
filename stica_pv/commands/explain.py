"""Describe configuration keys: `stica-pv explain DATA.BLUR_PROB`, or a whole section: `stica-pv explain CROP`."""

import argparse
from functools import partial

from stica_pv.command_line import command_parser, exit_code


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("explain", __doc__, imports=True)
    parser.add_argument("keys", nargs="+", metavar="KEY", help="a key, or a section")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the descriptions."""
    from stica_pv.config.declared import read_table
    from stica_pv.config.imports import import_components
    from stica_pv.config.reference import explain

    import_components([])  # those of --import and plugins
    table = read_table()
    print("\n\n".join(explain(key, table) for key in args.keys))


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: there is no such key or section."""
    return exit_code(partial(run, create_parser().parse_args(argv)))
