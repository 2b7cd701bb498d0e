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
    """Parses words: `cfg` of the result holds files, `overrides` the overrides wherever they stood, `sweep` pairs."""
    # A leading space keeps argparse from taking a value such as -1e-3 for an option.
    args = parser.parse_intermixed_args([f" {word}" if _NEGATIVE.match(word) else word for word in argv])
    words = args.cfg or []
    files = next((i for i, word in enumerate(words) if i and not word.endswith(YAML)), len(words))
    args.cfg, behind = words[:files], words[files:]
    words = [*behind, *args.overrides, *args.opts]
    args.overrides = [_as_typed(word) for word in words]
    args.sweep = [(_as_typed(key), _as_typed(values)) for key, values in getattr(args, "sweep", [])]
    return args


def _as_typed(word: str) -> str:
    return word[1:] if word[:1] == " " and _NEGATIVE.match(word, 1) else word
