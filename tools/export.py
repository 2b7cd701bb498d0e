#!/usr/bin/env python3
"""Writes networks of a checkpoint for other programs, with a model card: `python tools/export.py CHECKPOINT OUT [...]`.

trunk    the video (or audio) network by the names of the plain torchvision or pytorchvideo model
encoder  from frames, or audio, to one vector a clip: normalization, trunk, pooling head, projection head
task     all networks, without the optimizer: a light checkpoint
"""

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone's package, from any working directory, installed or not

from stica_pv.command_line import exit_code, log_to_terminal  # noqa: E402 - found by the line above

EXAMPLES = """
examples:
  python tools/export.py output/stica/demo/checkpoints/step_00000256.pyth trunk.safetensors
  python tools/export.py checkpoint.pyth video.onnx --what encoder
  python tools/export.py checkpoint.pyth audio.pt2 --what encoder --modality audio --layer projected
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="of a run, converted, or an exported encoder")
    parser.add_argument("target", metavar="OUT", type=Path, help="a new file; OUT.md becomes its model card")
    parser.add_argument("--what", default="trunk", help="trunk, encoder or task (trunk)")
    parser.add_argument("--modality", default="video", help="video or audio (video)")
    parser.add_argument(
        "--format",
        default="",
        help="safetensors, pth, torch_export (.pt2), onnx or torchscript (.ts, deprecated)",
    )
    parser.add_argument(
        "--layer", default="", help="that a program of an encoder gives: map, pooled, projected (pooled)"
    )
    parser.add_argument("--import", dest="imports", action="append", default=[], metavar="MODULE", help="of components")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Writes, and prints what was written."""
    from stica_pv.exchange import ExportRequest, export

    imports = tuple(args.imports)
    written = export(
        ExportRequest(args.checkpoint, args.target, args.what, args.modality, args.format, args.layer, imports)
    )
    piece = written.piece
    print(f"{written.file}: {piece.modality} {piece.what}, {len(piece.tensors)} tensors".replace(":  ", ": "))
    print(f"takes {piece.takes}\ngives {piece.gives}")
    if written.check:
        print(written.check)
    print(f"model card: {written.card}")


def main(argv: list[str]) -> int:
    """Runs the command line; 2: something asked for cannot be done, 1: a program gives wrong numbers."""
    args = parse(argv)
    log_to_terminal(level=logging.ERROR)
    return exit_code(partial(run, args), interrupted="stopped; nothing was written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
