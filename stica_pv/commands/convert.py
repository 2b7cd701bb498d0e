"""Convert weights of other code into a checkpoint: `stica-pv convert IN OUT [KEY VALUE ...]`.

IN is a released GDT or STiCA checkpoint, whose networks are recognized by their shapes, or the weights of the video
trunk that MODEL.ARCH names. OUT holds its configuration, so TEST.CHECKPOINT_FILE_PATH needs nothing else.
"""

import argparse
import logging
from functools import partial
from pathlib import Path

from stica_pv.command_line import add_cfg_arguments, command_parser, exit_code, log_to_terminal, parse_cfg_arguments

EXAMPLES = """
examples:
  stica-pv convert gdt_K400.pth gdt.pyth
  stica-pv convert r2plus1d_18-91a641e6.pth kinetics.pyth MODEL.ARCH r2plus1d_18 DATA.NUM_FRAMES 16
  stica-pv convert SLOWONLY_8x8_R50.pyth slow.pyth MODEL.ARCH slow_r50 DATA.NUM_FRAMES 8
"""


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("convert", __doc__, epilog=EXAMPLES, imports=True)
    parser.add_argument("source", metavar="IN", help="weights: .pth, .pyth or .safetensors")
    parser.add_argument("target", metavar="OUT", type=Path, help="new file")
    parser.add_argument(
        "--layout", default="auto", help="names of the tensors (default: auto, the best fit); see --list"
    )
    parser.add_argument(
        "--as",
        dest="method",
        choices=("stica", "gdt"),
        default="",
        help="method of a GDT or STiCA file without transformer (default: gdt, a guess)",
    )
    parser.add_argument("--list", action=_ListLayouts, nargs=0, help="print the known layouts and exit")
    add_cfg_arguments(
        parser, "settings (default: k400_reference.yaml for GDT and STiCA, k400_crossmodal.yaml for trunks)"
    )
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = create_parser()
    args = parse_cfg_arguments(parser, argv)
    if len(args.cfg) > 1:
        parser.error(f"--cfg: expected one FILE, got {len(args.cfg)}")
    return args


class _ListLayouts(argparse.Action):
    """Print the known layouts and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from stica_pv.weights import LAYOUTS

        width = max(map(len, LAYOUTS))
        print("\n".join(f"{name:<{width}}  {layout.holds}" for name, layout in LAYOUTS.items()))
        parser.exit()


def run(args: argparse.Namespace) -> None:
    """Convert, write and print the report."""
    from stica_pv.config.declared import check_keys

    check_keys(args.cfg, args.overrides)
    from stica_pv.exchange import convert, implied_by
    from stica_pv.launch.configuration import configure
    from stica_pv.safe_text import printable
    from stica_pv.weights import read_weights, refuse_existing, write_atomic
    from stica_pv.weights.files import save_torch

    refuse_existing(args.target)
    weights = read_weights(args.source)
    implied = implied_by(weights, args.layout, args.method)
    settings = [str(part) for pair in implied.settings.items() for part in pair]
    cfg = configure((args.cfg or [implied.recipe])[0], [*settings, *args.overrides], trains=False)
    cfg.OUTPUT_DIR = ""
    conversion = convert(weights, cfg, layout=args.layout)
    write_atomic(args.target, lambda path: save_torch(conversion.checkpoint, path))
    for line in filter(None, (str(weights), *conversion.report().split("\n"), implied.guess)):
        print(printable(line))  # tensor names of a foreign file may hold control characters
    shown = ("MODEL.ARCH", "POOL.NAME", "DATA.NUM_FRAMES", "AUDIO.ARCH", "AUDIO.NUM_MEL_BINS")
    print("settings: " + ", ".join(f"{key} {cfg[key.split('.')[0]][key.split('.')[1]]}" for key in shown))
    print(f"written: {args.target}")


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: the request is invalid."""
    args = parse(argv)
    log_to_terminal(level=logging.WARNING)
    return exit_code(partial(run, args), interrupted="stopped; nothing was written")
