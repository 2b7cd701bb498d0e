"""Extract features of any media files with the networks of a checkpoint.

  stica-pv extract-features --checkpoint run/checkpoints/step_00000256.pyth --data my_clips --output features

Writes one file <output>/<modality>_<layer>.npz per modality and layer, with the arrays

  features  float32 or float16 (V, N, D): V files in the order of the list, N views (clips x crops, crops vary fastest;
            1 with --average), D numbers. A map is flattened from (C, T, H, W), or (C, F, T) for audio.
            A file that cannot be read is a row of NaN (--keep_going; otherwise it ends the run).
  index     int64 (V,): 0, 1, 2, ...
  names     (V,): paths below --data
  labels    int64 (V,): as in the list; -1 without a label
  settings  JSON text: checkpoint, clips, layer, hashes, and the causes of NaN rows

The networks and the clips (frames, rate, size, audio) are those that the checkpoint was trained with; KEY VALUE pairs
override them: DATA.TEST_CROP_SIZE 128. Repeat the command to continue after an interruption.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stica_pv.command_line import command_parser, exit_code, set_environment

if TYPE_CHECKING:
    from stica_pv.config import CfgNode


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("extract-features", __doc__, imports=True)
    parser.add_argument("--checkpoint", required=True, metavar="RUN", help="folder of a run, or a checkpoint of it")
    parser.add_argument(
        "--data", required=True, metavar="PATH", help="folder of media files, or a csv of `path [label]`"
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="kind of list, see stica-pv train --list datasets (folder or csv)"
    )
    parser.add_argument("--split", default="", metavar="NAME", help="split of the data set")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="output folder")
    parser.add_argument("--modality", nargs="+", default=["video"], choices=["video", "audio"])
    parser.add_argument("--layer", nargs="+", default=["pooled"], choices=["map", "map_max", "pooled", "projected"])
    parser.add_argument(
        "--clips", type=int, default=10, metavar="N", help="clips per file, equally spaced (default: 10)"
    )
    parser.add_argument(
        "--crops", type=int, default=1, choices=[1, 3], help="crops per frame: center, or along its length"
    )
    parser.add_argument("--average", action="store_true", help="average the unit-length vectors over views")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16"])
    parser.add_argument("--keep_going", action="store_true", help="turn unreadable files into NaN rows")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="e.g. NUM_GPUS 0 TEST.BATCH_SIZE 64")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    return create_parser().parse_args(argv)


def resolve(args: argparse.Namespace) -> "CfgNode":
    """Return the frozen configuration of the command line."""
    from stica_pv.config import apply_overrides
    from stica_pv.config.keys import check_limits
    from stica_pv.defaults import get_cfg
    from stica_pv.exchange.repository import find_weights

    cfg = get_cfg()
    cfg.TRAIN.DATASET = args.dataset or ("folder" if Path(args.data).is_dir() else "csv")
    cfg.TRAIN.SPLIT, cfg.DATA.PATH_TO_DATA_DIR, cfg.OUTPUT_DIR = args.split, args.data, args.output
    cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TEST.FEATURE_DTYPE = find_weights(args.checkpoint), args.dtype
    cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = args.clips, args.crops
    cfg.TEST.COUNT_UNREADABLE_AS_WRONG = args.keep_going
    apply_overrides(cfg, args.overrides)
    cfg.OVERRIDES = list(args.overrides[::2])
    check_limits(cfg)
    cfg.freeze()
    return cfg


def run(args: argparse.Namespace) -> None:
    """Extract and write."""
    from stica_pv.config.declared import check_keys

    check_keys([], args.overrides)
    from stica_pv.launch import launch, set_up_logging
    from stica_pv.workflows.extract_features import ExtractFeatures

    set_up_logging("", 0)
    cfg = resolve(args)
    launch(ExtractFeatures(args.modality, args.layer, args.average), cfg, log_to_file=False)


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: the request is invalid, 1: the features are not finite."""
    set_environment()
    args = parse(argv)
    return exit_code(partial(run, args), interrupted="stopped; repeat the command to continue")
