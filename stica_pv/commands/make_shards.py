"""Pack the training list into tar shards: `stica-pv make-shards --cfg FILE --target FOLDER [KEY VALUE ...]`.

Writes FOLDER/<split>-000000.tar and so on, in the format of WebDataset, and FOLDER/<split>.csv. With this list a run
samples the same files in the same order: TRAIN.DATASET csv DATA.PATH_TO_DATA_DIR FOLDER. Files are copied unchanged.
"""

import argparse
from functools import partial
from pathlib import Path

from stica_pv.command_line import add_cfg_arguments, command_parser, exit_code
from stica_pv.commands.one_recipe import parse_one, read_one


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("make-shards", __doc__, imports=True)
    add_cfg_arguments(parser, "one configuration")
    parser.add_argument("--target", required=True, metavar="FOLDER", help="output folder of the shards and the list")
    parser.add_argument("--shard-mb", type=float, default=1000.0, metavar="MB", help="size of a shard (1000)")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = create_parser()
    args = parse_one(parser, argv)
    if not args.shard_mb > 0:
        parser.error(f"--shard-mb: expected a number > 0, got {args.shard_mb:g}")
    return args


def run(args: argparse.Namespace) -> None:
    """Pack the files, and print their number."""
    cfg = read_one(args, logs="stica_pv.progress")
    from stica_pv.data.conversion.shards import write_shards
    from stica_pv.data.manifest.videos import list_from_config

    videos = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT)
    target, size = Path(args.target), round(args.shard_mb * 1e6)
    shards = list(write_shards(videos, target, name=cfg.TRAIN.SPLIT, shard_bytes=size))
    print(f"{len(videos)} files packed into {len(shards)} shards")
    # The paths in the list are relative to its folder, and a space separates path and label.
    prefix = " DATA.PATH_PREFIX ''" if cfg.DATA.PATH_PREFIX else ""
    separator = " DATA.PATH_LABEL_SEPARATOR ' '" if cfg.DATA.PATH_LABEL_SEPARATOR != " " else ""
    print(f"train with TRAIN.DATASET csv DATA.PATH_TO_DATA_DIR {target}{prefix}{separator}")


def main(argv: list[str]) -> int:
    """Run the command line; 2: an argument or the list is wrong."""
    args = parse(argv)
    return exit_code(partial(run, args), interrupted="stopped; run the same command again to start over")
