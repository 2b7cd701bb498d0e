"""What the commands that convert all files of a data set share: transcode and compute-flow."""

import argparse
import os

from stica_pv.command_line import command_parser


def conversion_parser(command: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all conversions have."""
    parser = command_parser(command, description)
    parser.add_argument("source", help="a folder, or a list of videos")
    parser.add_argument("target", help="a new folder, or the target of an earlier run")
    parser.add_argument(
        "--short-side", type=int, default=128, help="pixels; smaller frames are kept, 0: no limit (128)"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="worker processes (all cores)")
    parser.add_argument("--limit", type=int, default=600, help="time limit per file in seconds (600)")
    parser.add_argument("--separator", default=" ", help="separator of path and label in a list (a space)")
    return parser
