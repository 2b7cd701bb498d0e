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
    """Declares the keys of lists, reading and loading."""
    train = section(cfg, "TRAIN")
    train.DATASET = "csv"  # one of --list datasets
    train.SPLIT = "train"  # <PATH_TO_DATA_DIR>/<SPLIT>.csv, or the folder of that name
    test = section(cfg, "TEST")
    test.DATASET = ""  # default: as TRAIN.DATASET
    test.SPLIT = "test"
    test.PATH_TO_DATA_DIR = ""  # default: as DATA.PATH_TO_DATA_DIR
    test.PATH_PREFIX = ""  # default: as DATA.PATH_PREFIX, or TEST.PATH_TO_DATA_DIR where that is set
    test.FOLDS = []  # names of folds, or 'training:test' of two splits; default: all folds that the data set has
    test.GROUP_PATTERN = ""  # default: what an official data set knows of its sources, else DATA.GROUP_PATTERN

    data = section(cfg, "DATA")
    data.PATH_TO_DATA_DIR = ""
    data.PATH_PREFIX = ""  # of relative paths in a list; default: the folder of the list
    data.PATH_LABEL_SEPARATOR = " "
    data.MAX_ABSENT_SHARE = 0.0  # of a list: files that it names and that are not there are left out up to this share
    data.MANIFEST = ""  # facts of files, read once; default: OUTPUT_DIR/manifest.csv
    data.MAX_BAD_SHARE = 0.01  # of the files that passed the manifest and failed in reading
    data.FRAME_CHOICE = "nearest"  # nearest | previous | following (as GDT and STiCA released it)
    data.DECODING_SHORT_SIZE = 256  # larger frames are scaled down to this short side in decoding; 0: never
    data.GROUP_PATTERN = (
        ""  # names clips of one source, which never meet in a batch, e.g. _g(\d+)_; see data/sources/groups.py
    )
    data.SHUFFLE_AUDIO = False  # a control: each clip of a batch hears another one, so there is nothing to learn by it
    data.PATH_TO_FLOW_DIR = ""  # stored optical flow, named as the videos below PATH_PREFIX or PATH_TO_DATA_DIR
    data.FLOW_FPS = 0.0  # fields a second of flow that is stored as pairs of frames, which have no times
    data.READ_TIMEOUT_SECONDS = 60.0  # for one file, in a loader's worker (NUM_WORKERS > 0); 0: none

    loader = section(cfg, "DATA_LOADER")
    loader.NUM_WORKERS = 8
    loader.PIN_MEMORY = True
    loader.START_METHOD = (
        "fork"  # of the workers: fork | spawn (slower to start, but copies no threads of this process)
    )


def reader_from_config(cfg: CfgNode, *, flow: bool = False) -> Reader:
    """Builds the reader, a picklable function; `flow`: it will be asked for optical flow."""
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
        raise UsageError("the method sees optical flow: set DATA.PATH_TO_FLOW_DIR to what tools/compute_flow.py made")
    return FlowFiles(Path(data.PATH_TO_FLOW_DIR), Path(data.PATH_PREFIX or data.PATH_TO_DATA_DIR), data.FLOW_FPS)


def groups_from_config(cfg: CfgNode, names: Iterable[str]) -> NDArray[np.int64] | None:
    """Returns the source of each name as a number, None without DATA.GROUP_PATTERN."""
    return source_groups(names, cfg.DATA.GROUP_PATTERN) if cfg.DATA.GROUP_PATTERN else None


def manifest_path(cfg: CfgNode, folder: Path) -> Path:
    """Where the facts of files are kept: DATA.MANIFEST, or the folder of the run."""
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
