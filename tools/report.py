#!/usr/bin/env python3
"""Shows runs to a person: `python tools/report.py OUTPUT_DIR [OUTPUT_DIR ...]` writes one self-contained HTML file.

What was run, what came out, curves, speed, files left out, hardware; several runs are laid over each other. Whatever a
run has not left, as one that was killed or not evaluated, is named on the page.
"""

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone's package, from any working directory, installed or not

from stica_pv.command_line import add_opts_argument, exit_code, log_to_terminal  # noqa: E402 - found by the line above


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="OUTPUT_DIR", help="folder of a run")
    parser.add_argument(
        "--gallery", action="store_true", help="with its test clips, as tools/gallery.py shows them; one OUTPUT_DIR"
    )
    add_opts_argument(parser, "overrides for --gallery: NUM_GPUS 0")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the page (report.html in the only OUTPUT_DIR, or here for several)"
    )
    args = parser.parse_args(argv)
    if args.gallery and len(args.folders) > 1:
        parser.error(f"--gallery: expected one OUTPUT_DIR, got {len(args.folders)}")
    if args.opts and not args.gallery:
        parser.error("--opts: they mean nothing without --gallery")
    return args


def run(args: argparse.Namespace) -> None:
    """Writes the page and prints where it is; a page with test clips does not make way for one without."""
    from stica_pv.errors import UsageError
    from stica_pv.report.contents import NAME, write_report
    from stica_pv.report.gallery import holds_gallery

    path = args.out or (args.folders[0] if len(args.folders) == 1 else Path()) / NAME
    if args.gallery:
        with_gallery(args.folders[0], args.opts, path)
    else:
        if args.out is None and holds_gallery(path):
            raise UsageError(
                f"{path} shows test clips, which a page without them would take the place of: add --gallery, "
                "or say by --out where this one goes"
            )
        write_report(args.folders, path)
    print(path)


def with_gallery(folder: Path, overrides: list[str], path: Path) -> None:
    """Writes the page of a run whose data and checkpoint are there."""
    from stica_pv.config.declared import check_keys

    check_keys([], overrides, root=ROOT)
    from stica_pv.launch import launch, set_up_logging
    from stica_pv.report.end_of_run import ReportJob
    from stica_pv.report.of_folder import configuration_of
    from stica_pv.workflows.run import import_custom

    set_up_logging("", 0)
    cfg = configuration_of(folder, [*overrides, "TEST.ENABLE", "True"])
    import_custom(cfg)
    launch(ReportJob(path), cfg, log_to_file=False)


def main(argv: list[str]) -> int:
    """Runs the command line; 2: a folder holds no run, or the page cannot be written."""
    args = parse(argv)
    log_to_terminal(level=logging.WARNING)
    return exit_code(partial(run, args), interrupted="stopped; no page was written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
