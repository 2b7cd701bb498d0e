"""Keys of the data, and their translation into lists, readers and loaders."""

import functools
from pathlib import Path

from stica_pv.config import CfgNode, section
from stica_pv.data.dataset import Reader
from stica_pv.data.reader import read
from stica_pv.errors import UsageError, check_choice

FRAME_CHOICES = ("nearest", "previous")


def add_data_config(cfg: CfgNode) -> None:
    """Declares the keys of lists, reading and loading."""
    train, test = section(cfg, "TRAIN"), section(cfg, "TEST")
    train.DATASET = "csv"  # one of --list datasets
    train.SPLIT = "train"  # <PATH_TO_DATA_DIR>/<SPLIT>.csv, or the folder of that name
    test.DATASET = "csv"
    test.SPLIT = "test"

    data = section(cfg, "DATA")
    data.PATH_TO_DATA_DIR = ""
    data.PATH_PREFIX = ""  # of relative paths in a list; default: the folder of the list
    data.PATH_LABEL_SEPARATOR = " "
    data.MANIFEST = ""  # facts of files, read once; default: OUTPUT_DIR/manifest.csv
    data.MAX_BAD_SHARE = 0.01  # of the files that passed the manifest and failed in reading
    data.FRAME_CHOICE = "nearest"  # nearest | previous (as released)
    data.DECODING_SHORT_SIZE = 256  # larger pictures are scaled down to this short side in decoding; 0: never

    loader = section(cfg, "DATA_LOADER")
    loader.NUM_WORKERS = 8
    loader.PIN_MEMORY = True


def reader_from_config(cfg: CfgNode) -> Reader:
    """Builds the reader, a picklable function."""
    check_choice("DATA.FRAME_CHOICE", cfg.DATA.FRAME_CHOICE, FRAME_CHOICES)
    if cfg.DATA.DECODING_SHORT_SIZE < 0:
        raise UsageError(f"DATA.DECODING_SHORT_SIZE must be >= 0, got {cfg.DATA.DECODING_SHORT_SIZE}")
    return functools.partial(read, frame_choice=cfg.DATA.FRAME_CHOICE, short_size=cfg.DATA.DECODING_SHORT_SIZE)


def manifest_path(cfg: CfgNode, folder: Path) -> Path:
    """Where the facts of files are kept: DATA.MANIFEST, or the folder of the run."""
    return Path(cfg.DATA.MANIFEST) if cfg.DATA.MANIFEST else folder / "manifest.csv"
