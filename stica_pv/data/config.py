"""Keys of the data, and their translation into lists, readers and loaders."""

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import NOT_NEGATIVE, SHARE, declare_limits, one_of
from stica_pv.data.decoding.flow_files import FlowFiles
from stica_pv.data.decoding.reader import read
from stica_pv.data.isolation.guard import GuardedReader, Reader
from stica_pv.data.sources.groups import source_groups
from stica_pv.errors import UsageError, check_choice

FRAME_CHOICES = ("nearest", "previous", "following")


def add_data_config(cfg: CfgNode) -> None:
    """Declare the keys of lists, reading and loading."""
    train = section(cfg, "TRAIN")
    train.DATASET = "csv"  # one of --list datasets
    train.SPLIT = "train"  # <PATH_TO_DATA_DIR>/<SPLIT>.csv, or the folder of that name
    test = section(cfg, "TEST")
    test.DATASET = ""  # default: as TRAIN.DATASET
    test.SPLIT = "test"
    test.PATH_TO_DATA_DIR = ""  # default: as DATA.PATH_TO_DATA_DIR
    test.PATH_PREFIX = ""  # default: as DATA.PATH_PREFIX, or TEST.PATH_TO_DATA_DIR where that is set
    test.FOLDS = []  # names of folds, or two splits as 'training:test'; default: all folds of the data set
    test.GROUP_PATTERN = ""  # default: the pattern of an official data set, else DATA.GROUP_PATTERN

    data = section(cfg, "DATA")
    data.PATH_TO_DATA_DIR = ""
    data.PATH_PREFIX = ""  # folder of the relative paths in a list; default: the folder of the list
    data.PATH_LABEL_SEPARATOR = " "
    data.MAX_ABSENT_SHARE = 0.0  # largest share of a list that may be missing on disk; missing files are skipped
    data.MANIFEST = ""  # cache of the media information of all files; default: OUTPUT_DIR/manifest.csv
    data.MAX_BAD_SHARE = 0.01  # largest share of usable files (by the manifest) that may fail in reading
    data.FRAME_CHOICE = "nearest"  # nearest | previous | following (as in the released code of GDT and STiCA)
    data.DECODING_SHORT_SIZE = 256  # larger frames are scaled down to this short side in decoding; 0: never
    data.GROUP_PATTERN = (
        ""  # finds the source of a clip in its name, e.g. _g(\d+)_; clips of one source are never in the same batch
    )
    data.SHUFFLE_AUDIO = False  # a control: each clip of a batch gets the audio of another one
    data.PATH_TO_FLOW_DIR = ""  # stored optical flow, named as the videos below PATH_PREFIX or PATH_TO_DATA_DIR
    data.FLOW_FPS = 0.0  # frame rate of optical flow that is stored as image pairs, which have no time stamps
    data.READ_TIMEOUT_SECONDS = 60.0  # time limit per file in a loader worker (NUM_WORKERS > 0); 0: none

    loader = section(cfg, "DATA_LOADER")
    loader.NUM_WORKERS = 8
    loader.PIN_MEMORY = True
    loader.START_METHOD = (
        "fork"  # start method of the workers: fork | spawn (slower to start, but copies no threads of this process)
    )


def reader_from_config(cfg: CfgNode, *, flow: bool = False) -> Reader:
    """Build the reader, a picklable function; `flow`: requests may include optical flow."""
    check_choice("DATA.FRAME_CHOICE", cfg.DATA.FRAME_CHOICE, FRAME_CHOICES)
    if cfg.DATA.DECODING_SHORT_SIZE < 0:
        raise UsageError(f"DATA.DECODING_SHORT_SIZE must be >= 0, got {cfg.DATA.DECODING_SHORT_SIZE}")
    reader = functools.partial(
        read,
        frame_choice=cfg.DATA.FRAME_CHOICE,
        short_size=cfg.DATA.DECODING_SHORT_SIZE,
        flow=_flow_from_config(cfg) if flow else None,
    )
    return GuardedReader(reader, timeout_s=cfg.DATA.READ_TIMEOUT_SECONDS)


def _flow_from_config(cfg: CfgNode) -> FlowFiles:
    data = cfg.DATA
    if not data.PATH_TO_FLOW_DIR:
        raise UsageError(
            "this method needs optical flow: set DATA.PATH_TO_FLOW_DIR to the output of `stica-pv compute-flow`"
        )
    return FlowFiles(Path(data.PATH_TO_FLOW_DIR), Path(data.PATH_PREFIX or data.PATH_TO_DATA_DIR), data.FLOW_FPS)


def groups_from_config(cfg: CfgNode, names: Iterable[str]) -> NDArray[np.int64] | None:
    """Return the source of each name as a number, None without DATA.GROUP_PATTERN."""
    return source_groups(names, cfg.DATA.GROUP_PATTERN) if cfg.DATA.GROUP_PATTERN else None


def manifest_path(cfg: CfgNode, folder: Path) -> Path:
    """Return the path of the manifest: DATA.MANIFEST, or manifest.csv in the folder of the run."""
    return Path(cfg.DATA.MANIFEST) if cfg.DATA.MANIFEST else folder / "manifest.csv"


declare_limits(
    {
        "DATA.MAX_ABSENT_SHARE": SHARE,
        "DATA.MAX_BAD_SHARE": SHARE,
        "DATA.FRAME_CHOICE": one_of(*FRAME_CHOICES),
        "DATA.DECODING_SHORT_SIZE": NOT_NEGATIVE,
        "DATA.FLOW_FPS": NOT_NEGATIVE,
        "DATA.READ_TIMEOUT_SECONDS": NOT_NEGATIVE,
        "DATA_LOADER.NUM_WORKERS": NOT_NEGATIVE,
        "DATA_LOADER.START_METHOD": one_of("fork", "spawn"),
    }
)
