"""Keys of the data, and their translation into lists, readers and loaders."""

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import NOT_NEGATIVE, SHARE, one_of
from stica_pv.config.roles import CLIP, DATA, EVALUATION, FREE, SCOPE
from stica_pv.data.decoding.flow_files import FlowFiles
from stica_pv.data.decoding.reader import Reader, read
from stica_pv.data.sources.groups import source_groups
from stica_pv.errors import UsageError

FRAME_CHOICES = ("nearest", "previous", "following")

declare_keys(
    __name__,
    "TRAIN",
    DATA,
    Key("DATASET", "csv", "Kind of the training list: a name of `--list datasets`."),
    Key("SPLIT", "train", "Training split: DATA.PATH_TO_DATA_DIR/<split>.csv, or the folder of that name."),
)
declare_keys(
    __name__,
    "TEST",
    EVALUATION,
    Key("DATASET", "", "Kind of the test list; empty takes TRAIN.DATASET."),
    Key("SPLIT", "test", "Test split."),
    Key("PATH_TO_DATA_DIR", "", "Folder of the test data; empty takes DATA.PATH_TO_DATA_DIR."),
    Key(
        "PATH_PREFIX",
        "",
        "Folder of relative paths in the test list; empty takes TEST.PATH_TO_DATA_DIR, else DATA.PATH_PREFIX.",
    ),
    Key(
        "FOLDS",
        [],
        "Folds to evaluate by name, or two splits as training:test; [] takes all folds of the data set.",
    ),
    Key(
        "GROUP_PATTERN",
        "",
        "As DATA.GROUP_PATTERN, for the test data; empty takes the pattern of an official data set, else that key.",
    ),
    Key(
        "LABEL_SOURCES",
        "",
        "File with the columns class and source (audio, video or both) of the test data; scores are split by source.",
    ),
)
declare_keys(
    __name__,
    "DATA",
    DATA,
    Key("PATH_TO_DATA_DIR", "", "Folder of the data set.", role=SCOPE),
    Key("PATH_PREFIX", "", "Folder of relative paths in a list; empty takes the folder of the list.", role=SCOPE),
    Key("PATH_LABEL_SEPARATOR", " ", "Text between path and label in a line of a list."),
    Key(
        "MAX_ABSENT_SHARE",
        0.0,
        "Largest share of a list that may be missing on disk; missing files are skipped.",
        SHARE,
    ),
    Key(
        "MANIFEST",
        "",
        "File that stores the media information of all files; empty takes OUTPUT_DIR/manifest.csv.",
        role=FREE,
    ),
    Key(
        "MAX_BAD_SHARE",
        0.01,
        "Largest share of files that may fail in reading although their headers are usable.",
        SHARE,
        role=FREE,
    ),
    Key(
        "FRAME_CHOICE",
        "nearest",
        "Frame of a time stamp; following is what GDT and STiCA released.",
        one_of(*FRAME_CHOICES),
        role=CLIP,
    ),
    Key(
        "DECODING_SHORT_SIZE",
        256,
        "Short side in pixels to which larger frames are scaled in decoding; 0 never scales.",
        NOT_NEGATIVE,
        role=CLIP,
    ),
    Key(
        "GROUP_PATTERN",
        "",
        r"Regular expression that finds the source of a clip in its name, such as _g(\d+)_; "
        "clips of one source are never in the same batch.",
    ),
    Key("SHUFFLE_AUDIO", False, "Whether each clip of a batch gets the audio of another one, as a control."),
    Key(
        "PATH_TO_FLOW_DIR",
        "",
        "Folder of stored optical flow, named as the videos below PATH_PREFIX or PATH_TO_DATA_DIR.",
        role=SCOPE,
    ),
    Key(
        "FLOW_FPS",
        0.0,
        "Frame rate of optical flow that is stored as image pairs, which have no time stamps.",
        NOT_NEGATIVE,
    ),
    Key(
        "READ_TIMEOUT_SECONDS",
        60.0,
        "Time limit per file in a loader worker, in seconds; 0 sets none.",
        NOT_NEGATIVE,
        role=FREE,
    ),
)
declare_keys(
    __name__,
    "DATA_LOADER",
    FREE,
    Key("NUM_WORKERS", 8, "Loader workers of each process; 0 reads in the process itself.", NOT_NEGATIVE),
    Key("PIN_MEMORY", True, "Whether batches are in pinned memory, which copies faster to a GPU."),
    Key(
        "START_METHOD",
        "fork",
        "How workers start; spawn is slower, but copies no threads of this process.",
        one_of("fork", "spawn"),
    ),
)


def reader_from_config(cfg: CfgNode, *, flow: bool = False) -> Reader:
    """Build the reader, a picklable function; `flow`: requests may include optical flow."""
    return functools.partial(
        read,
        frame_choice=cfg.DATA.FRAME_CHOICE,
        short_size=cfg.DATA.DECODING_SHORT_SIZE,
        flow=_flow_from_config(cfg) if flow else None,
    )


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
