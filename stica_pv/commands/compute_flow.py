"""Compute the optical flow of a data set: `stica-pv compute-flow SOURCE TARGET [--short-side 128 ...]`.

SOURCE is a folder or a list of `path label` lines; the flow of `a/b.mp4` is saved to `a/b.npz` in TARGET. Run the
command again to continue after an interruption, or to retry failed files. Then train with DATA.PATH_TO_FLOW_DIR TARGET.
Needs OpenCV: pip install 'stica_pv[flow]'.
"""

import argparse
import logging
import os
import time
from functools import partial

from stica_pv.command_line import exit_code, log_to_terminal
from stica_pv.commands.conversion import conversion_parser


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = conversion_parser("compute-flow", __doc__)
    parser.add_argument(
        "--bound", type=float, default=20.0, help="largest motion in pixels; larger motion is clipped (20)"
    )
    parser.add_argument("--fps", type=float, default=0.0, help="flow fields per second; 0: one per frame (0)")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    return create_parser().parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Compute the flow and print a report; return 1 if no file has flow."""
    from stica_pv.data.conversion.batch_convert import convert_files, plan_conversion
    from stica_pv.data.conversion.optical_flow import CONVERSION, FlowSettings

    settings = FlowSettings(short_side=args.short_side, bound=args.bound, fps=args.fps)
    plan = plan_conversion(args.source, args.target, args.separator, CONVERSION)
    begin = time.perf_counter()
    report = convert_files(plan, settings, processes=args.processes, limit_s=args.limit)
    seconds = time.perf_counter() - begin
    done = (*report.copied, *report.kept)
    size = sum(os.path.getsize(plan.target / plan.names[name]) for name in done) / 1e6
    print(f"files     {len(report.copied)} computed, {len(report.kept)} already present, {len(report.failures)} failed")
    if report.failures:
        print(f"failures  {plan.target / CONVERSION.failures}")
    print(f"size      {size:.1f} MB" + (f", {size / len(done):.2f} MB per file" if done else ""))
    if report.copied:
        print(f"time      {seconds:.1f} s, {seconds * args.processes / len(report.copied):.2f} s per file and process")
    return 0 if done else 1


def main(argv: list[str]) -> int:
    """Run the command line; 2: an argument is wrong."""
    args = parse(argv)
    log_to_terminal(level=logging.INFO)
    return exit_code(partial(run, args), interrupted="stopped; run the same command again to continue")
