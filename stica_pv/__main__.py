"""The console program as a module: `python -m stica_pv`."""

import sys

from stica_pv.commands.program import main

if __name__ == "__main__":
    sys.exit(main())
