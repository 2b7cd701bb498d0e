#!/usr/bin/env python3
"""Runs `stica-pv push-to-hub` from a clone, installed or not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stica_pv.commands.push_to_hub import main  # noqa: E402 - found by the line above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
