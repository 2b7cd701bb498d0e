"""List the recipes that come with the package: `stica-pv recipes [TEXT]`.

A name such as stica/k400 is what --cfg takes, from any working directory. The first line of each recipe is printed
next to its name. Those whose name ends with /grid are for `stica-pv ablation`.
"""

import argparse
from functools import partial

from stica_pv.command_line import command_parser, exit_code
from stica_pv.errors import UsageError
from stica_pv.recipe_files import headlines, recipe_folder


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("recipes", __doc__)
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="only recipes whose name contains this")
    parser.add_argument("--names", action="store_true", help="print only the names")
    parser.add_argument("--folder", action="store_true", help="print only the folder of the files")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the list."""
    if args.folder:
        print(recipe_folder())
        return
    found = {name: line for name, line in headlines() if args.text in name}
    if not found:
        raise UsageError(f"no recipe has a name with {args.text!r}; stica-pv recipes lists all")
    width = max(map(len, found))
    for name, line in found.items():
        print(name if args.names else f"{name:<{width}}  {line}")


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: no recipe has such a name."""
    return exit_code(partial(run, create_parser().parse_args(argv)))
