"""Write a report of one or several runs as one self-contained HTML file: `stica-pv report OUTPUT_DIR [...]`.

Shows results, curves, speed, settings, excluded files and hardware. Several runs, or a folder with runs below it, give
a dashboard: a table to sort and filter, and shared charts. The page names whatever is missing, for example of a run
that was killed or not evaluated.
"""

import argparse
import logging
from functools import partial
from pathlib import Path

from stica_pv.command_line import add_opts_argument, command_parser, exit_code, log_to_terminal


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("report", __doc__, imports=True)
    parser.add_argument("folders", nargs="+", type=Path, metavar="OUTPUT_DIR", help="folder of a run, or of runs")
    parser.add_argument(
        "--gallery", action="store_true", help="include test clips, as stica-pv gallery shows them; one OUTPUT_DIR"
    )
    add_opts_argument(parser, "overrides for --gallery: NUM_GPUS 0")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="page to write (default: report.html in OUTPUT_DIR, or in the working directory for several)",
    )
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = create_parser()
    args = parser.parse_args(argv)
    if args.gallery and len(args.folders) > 1:
        parser.error(f"--gallery: expected one OUTPUT_DIR, got {len(args.folders)}")
    if args.opts and not args.gallery:
        parser.error("--opts needs --gallery")
    return args


def run(args: argparse.Namespace) -> None:
    """Write the page and print its path; never replace a page with test clips by one without."""
    from stica_pv.config.imports import import_components
    from stica_pv.errors import UsageError
    from stica_pv.report.contents import NAME, write_report
    from stica_pv.report.gallery import holds_gallery

    import_components([])  # those of --import and plugins
    path = args.out or (args.folders[0] if len(args.folders) == 1 else Path()) / NAME
    if args.gallery:
        with_gallery(args.folders[0], args.opts, path)
    else:
        if args.out is None and holds_gallery(path):
            raise UsageError(
                f"{path} shows test clips and would be replaced by a page without them: add --gallery, "
                "or give another file with --out"
            )
        write_report(args.folders, path)
    print(path)


def with_gallery(folder: Path, overrides: list[str], path: Path) -> None:
    """Write the page of a run whose data and checkpoint exist."""
    from stica_pv.config.declared import check_keys

    check_keys([], overrides)
    from stica_pv.launch import launch, set_up_logging
    from stica_pv.report.end_of_run import WriteReport
    from stica_pv.report.run_config import configuration_of

    set_up_logging("", 0)
    cfg = configuration_of(folder, [*overrides, "TEST.ENABLE", "True"])
    launch(WriteReport(path), cfg, log_to_file=False)


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: a folder holds no run, or the page cannot be written."""
    args = parse(argv)
    log_to_terminal(level=logging.WARNING)
    return exit_code(partial(run, args), interrupted="stopped; no page was written")
