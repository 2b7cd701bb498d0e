"""Export networks of a checkpoint for other programs, with a model card: `stica-pv export CHECKPOINT OUT [...]`.

trunk    the video (or audio) network by the names of the plain torchvision or pytorchvideo model
encoder  maps frames or audio to one vector per clip: normalization, trunk, pooling head, projection head
task     all networks, without the optimizer: a light checkpoint
"""

import argparse
import logging
from functools import partial
from pathlib import Path

from stica_pv.command_line import command_parser, exit_code, log_to_terminal

EXAMPLES = """
examples:
  stica-pv export output/stica/demo/checkpoints/step_00000256.pyth trunk.safetensors
  stica-pv export checkpoint.pyth video.onnx --what encoder
  stica-pv export checkpoint.pyth audio.pt2 --what encoder --modality audio --layer projected
"""


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("export", __doc__, epilog=EXAMPLES, imports=True)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint of a run, converted checkpoint, or exported encoder"
    )
    parser.add_argument("target", metavar="OUT", type=Path, help="new file; the model card is saved to OUT.md")
    parser.add_argument("--what", default="trunk", help="trunk, encoder or task (default: trunk)")
    parser.add_argument("--modality", default="video", help="video or audio (default: video)")
    parser.add_argument(
        "--format",
        default="",
        help="safetensors, pth, torch_export (.pt2), onnx or torchscript (.ts, deprecated); default: by suffix",
    )
    parser.add_argument(
        "--layer", default="", help="output layer of an encoder program: map, pooled, projected (default: pooled)"
    )
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    return create_parser().parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Export, and print what was written."""
    from stica_pv.exchange import ExportRequest, export

    written = export(ExportRequest(args.checkpoint, args.target, args.what, args.modality, args.format, args.layer))
    piece = written.piece
    print(f"{written.file}: {piece.modality} {piece.what}, {len(piece.tensors)} tensors".replace(":  ", ": "))
    print(f"input: {piece.takes}\noutput: {piece.gives}")
    if written.check:
        print(written.check)
    print(f"model card: {written.card}")


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: the request is invalid, 1: a program gives wrong numbers."""
    args = parse(argv)
    log_to_terminal(level=logging.ERROR)
    return exit_code(partial(run, args), interrupted="stopped; nothing was written")
