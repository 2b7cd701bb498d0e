#!/usr/bin/env python3
"""Measures what parts of the project cost: `python tools/benchmark.py --backbones [NAME ...]`.

Each benchmark has options of its own: `python tools/benchmark.py --backbones --help`.
"""

import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]  # the clone's package and tools, from any working directory
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded: threads wait without spinning

from stica_pv.errors import UsageError  # noqa: E402 - found by the lines above

BENCHMARKS = {"backbones": "cost of every video backbone, and of STiCA's crops and heads on it"}


def main(argv: list[str]) -> int:
    """Runs the command line: the name of a benchmark, then its own options; 2: what is asked for cannot be done."""
    name = argv[0].removeprefix("--") if argv else ""
    if name in ("help", "-h"):
        print(__doc__, *(f"  --{key}  {what}" for key, what in BENCHMARKS.items()), sep="\n")
        return 0
    if name not in BENCHMARKS:
        known = ", ".join(f"--{key}" for key in BENCHMARKS)
        print(f"error: expected a benchmark, one of {known}; got {argv[0] if argv else 'nothing'}", file=sys.stderr)
        return 2
    try:
        return int(importlib.import_module(f"benchmarks.{name}").main(argv[1:]))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
