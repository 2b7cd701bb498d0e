"""Commands that read one configuration: check-dataset, inspect-batch, make-shards."""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stica_pv.command_line import log_to_terminal, parse_cfg_arguments

if TYPE_CHECKING:
    from stica_pv.config import CfgNode


def parse_one(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line with one FILE after ``--cfg``; anything else ends the command with exit code 2."""
    args = parse_cfg_arguments(parser, list(argv))
    if len(args.cfg) != 1:
        parser.error(f"--cfg: expected one FILE, got {len(args.cfg)}")
    return args


def read_one(args: argparse.Namespace, *, logs: str) -> "CfgNode":
    """Read the configuration, with its OUTPUT_DIR, and begin to print what a part of the package logs.

    Args:
        args: Arguments of `parse_one`.
        logs: Name of the logger whose messages are printed; warnings of all others are printed too.

    Raises:
        UsageError: The file or an override is wrong.
    """
    from stica_pv.config.declared import check_keys

    check_keys(args.cfg, args.overrides)  # before torch is imported
    from stica_pv.launch.configuration import configure

    log_to_terminal(level=logging.WARNING, stream=sys.stdout)
    logging.getLogger(logs).setLevel(logging.INFO)
    return configure(args.cfg[0], args.overrides, name=getattr(args, "name", None))
