#!/usr/bin/env python3
"""Write the page about checkpoints: `python tools/write_model_zoo.py RUN [...] [--out docs/results/model_zoo.md]`."""

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone's package, from any working directory, installed or not

from stica_pv.command_line import exit_code  # noqa: E402 - found by the line above


def write(args: argparse.Namespace) -> None:
    """Write the page."""
    from stica_pv.exchange.zoo import zoo_page

    text = zoo_page(args.runs, imports=args.imports)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text, encoding="utf-8")
    print(args.out)


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: a run has no checkpoint or no scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run, or a checkpoint in it")
    parser.add_argument("--import", dest="imports", action="append", default=[], metavar="MODULE")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "model_zoo.md", help="file to write")
    return exit_code(partial(write, parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
