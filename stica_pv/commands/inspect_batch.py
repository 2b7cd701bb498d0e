"""Inspect a training batch before weeks of training: `stica-pv inspect-batch --cfg FILE [KEY VALUE ...]`.

Writes batch.html, with the frames, spectrograms and audio of the network inputs, their feature-crop windows, and what
was sampled for each clip; and batch.png, the same as one image. It is the batch of training step --step, bit for bit.
--checkpoint adds the attention of the pooling and the similarity of the compared rows.
"""

import argparse
from functools import partial
from pathlib import Path

from stica_pv.command_line import add_cfg_arguments, add_name_argument, command_parser, exit_code
from stica_pv.commands.one_recipe import parse_one, read_one

MOST_CLIPS = 32  # limit of a readable page and image


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("inspect-batch", __doc__, imports=True)
    add_cfg_arguments(parser, "one configuration")
    add_name_argument(parser)
    parser.add_argument("--step", type=int, default=0, metavar="N", help="training step, from 0 (default: 0)")
    parser.add_argument("--clips", type=int, default=4, metavar="N", help="number of clips to show (default: 4)")
    parser.add_argument("--checkpoint", metavar="FILE", help="checkpoint whose attention and similarities to show")
    parser.add_argument("--out", metavar="FOLDER", help="output folder (default: OUTPUT_DIR/batch_step_N)")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = create_parser()
    args = parse_one(parser, argv)
    if not 1 <= args.clips <= MOST_CLIPS:
        parser.error(f"--clips: expected a number from 1 to {MOST_CLIPS}, got {args.clips}")
    return args


def act(args: argparse.Namespace) -> None:
    """Write the page and the image."""
    cfg = read_one(args, logs="stica_pv")
    from stica_pv.report.inspection import inspect_batch

    cfg.freeze()
    folder = Path(args.out or Path(cfg.OUTPUT_DIR) / f"batch_step_{args.step}")
    for path in inspect_batch(cfg, folder, step=args.step, clips=args.clips, checkpoint=args.checkpoint):
        print(path)


def main(argv: list[str]) -> int:
    """Run the command line."""
    return exit_code(partial(act, parse(argv)))
