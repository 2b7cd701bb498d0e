"""Show what the networks of a run have learned: `stica-pv gallery OUTPUT_DIR [KEY VALUE ...]`.

Writes gallery.html: test clips with their nearest neighbors, by frames and by audio, failures first, for the trained
network and for random initialization; a map of the test clips; and what the method does with two clips of the
training list. Features of earlier evaluations are reused; missing ones are extracted.
"""

import argparse
from functools import partial
from pathlib import Path

from stica_pv.command_line import command_parser, exit_code, set_environment


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("gallery", __doc__, imports=True)
    parser.add_argument("folder", metavar="OUTPUT_DIR", help="output folder of a pre-training or an evaluation")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="e.g. TEST.NUM_ENSEMBLE_VIEWS 1 NUM_GPUS 0")
    parser.add_argument(
        "--queries", type=int, default=12, metavar="N", help="queries to show per direction (default: 12)"
    )
    parser.add_argument("--out", metavar="FILE", help="page to write (default: OUTPUT_DIR/gallery.html)")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = create_parser()
    args = parser.parse_intermixed_args(argv)
    if args.queries < 1:
        parser.error(f"--queries: expected a number >= 1, got {args.queries}")
    return args


def act(args: argparse.Namespace) -> None:
    """Write the page."""
    from stica_pv.config.declared import check_keys

    check_keys([], args.overrides)
    from stica_pv.launch import launch, set_up_logging
    from stica_pv.report.gallery_page import WriteGallery
    from stica_pv.report.run_config import configuration_of

    set_up_logging("", 0)
    cfg = configuration_of(Path(args.folder), args.overrides)
    path = Path(args.out or Path(args.folder) / "gallery.html")
    launch(WriteGallery(path, args.queries), cfg, log_to_file=False)
    print(path)


def main(argv: list[str]) -> int:
    """Run the command line."""
    set_environment()
    return exit_code(partial(act, parse(argv)), interrupted="stopped; repeat the command to continue")
