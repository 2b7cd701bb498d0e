"""Words of a command line that the tools share: configurations and overrides. Imports nothing, so `--help` is fast."""

import argparse
import re

YAML = (".yaml", ".yml")
_NEGATIVE = re.compile(r"-\.?\d")


def add_cfg_arguments(parser: argparse.ArgumentParser, files_help: str) -> None:
    """Declares ``--cfg FILE [KEY VALUE ...] [--opts KEY VALUE ...]``."""
    parser.add_argument("--cfg", nargs="+", metavar="FILE", help=files_help)
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="overrides, the last one wins")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides, as after --opts")


def parse_cfg_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Parses words; `cfg` of the result holds files and `overrides` all the overrides, wherever they stood."""
    # A leading space keeps argparse from taking a value such as -1e-3 for an option.
    args = parser.parse_args([f" {word}" if _NEGATIVE.match(word) else word for word in argv])
    words = args.cfg or []
    files = next((i for i, word in enumerate(words) if i and not word.endswith(YAML)), len(words))
    args.cfg, behind = words[:files], words[files:]
    words = [*behind, *args.overrides, *args.opts]
    args.overrides = [word[1:] if word[:1] == " " and _NEGATIVE.match(word, 1) else word for word in words]
    return args
