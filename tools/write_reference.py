#!/usr/bin/env python3
"""Write the reference of all configuration keys: `python tools/write_reference.py [docs/configuration.md]`."""

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone's package, from any working directory, installed or not

from stica_pv.command_line import exit_code  # noqa: E402 - found by the line above
from stica_pv.config.declared import read_table  # noqa: E402
from stica_pv.config.reference import reference_page  # noqa: E402


def write(path: Path) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference_page(read_table()), encoding="utf-8")


def main(argv: list[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=ROOT / "docs" / "configuration.md", help="file to write")
    return exit_code(partial(write, parser.parse_args(argv).page))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
