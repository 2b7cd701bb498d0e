"""Keys of the evaluations."""

import torch

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, Limits, one_of
from stica_pv.config.roles import CLIP, EVALUATION, FREE, TRUNK
from stica_pv.evaluation.evaluated_model import ClipFormat
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.features.store import DTYPES
from stica_pv.evaluation.normalization import FEATURE_NORMS
from stica_pv.evaluation.requests import TEST_TRANSFORMS
from stica_pv.transforms.config import color_from_config, spatial_from_config

declare_keys(
    __name__,
    "TEST",
    EVALUATION,
    Key("ENABLE", False, "Whether the run evaluates, after training if it trains."),
    Key("EVALUATIONS", ["retrieval", "knn"], "Evaluations to run: names of `--list evaluations`."),
    Key("EXPECTED", [], "Ranges that the recipe states, as `metric low high`; the log compares the results with them."),
    Key(
        "CHECKPOINT_FILE_PATH",
        "",
        "Checkpoints to evaluate, separated by commas; empty takes the newest one in OUTPUT_DIR.",
    ),
    Key("ALLOW_RANDOM_INIT", False, "Whether an evaluation without a checkpoint is allowed."),
    Key("BATCH_SIZE", 32, "Clips per forward pass of each process.", AT_LEAST_ONE, role=FREE),
    Key(
        "NUM_ENSEMBLE_VIEWS",
        10,
        "Equally spaced clips per video, or windows of its audio, that are averaged.",
        AT_LEAST_ONE,
    ),
    Key(
        "NUM_SPATIAL_CROPS",
        1,
        "Spatial crops per clip: 1 is the center, 3 adds both ends of the longer side.",
        Limits(low=1, high=3),
    ),
    Key(
        "AUDIO_SECONDS",
        0.0,
        "Length of an audio window in seconds; 0 takes the length of the checkpoint's clips.",
        Limits(low=0, high=600),
    ),
    Key(
        "TRANSFORM",
        "fixed",
        "Crop of test clips: fixed; released adds a random short side and color jitter; random_crop and augmented "
        "are as in training, with DATA.TRAIN_CROP_SIZE.",
        one_of(*TEST_TRANSFORMS),
    ),
    Key("FEATURE_NORM", "centered", "Normalization of the features of trained networks.", one_of(*FEATURE_NORMS)),
    Key("KNN_K", 20, "Number of neighbors of kNN.", AT_LEAST_ONE),
    Key(
        "COUNT_UNREADABLE_AS_WRONG",
        False,
        "Whether items that are unreadable or lack the needed audio count as wrong; if not, they are an error.",
    ),
    Key("FEATURE_DTYPE", "float32", "Number format of stored features.", one_of(*DTYPES)),
)
declare_keys(
    __name__,
    "MODEL",
    TRUNK,
    Key(
        "SOURCE",
        "",
        "Further model to evaluate, pytorchvideo:<name> or torchvision:<name>; set DATA.NUM_FRAMES etc. for it.",
    ),
    Key("SOURCE_WEIGHTS", "published", "Weights of MODEL.SOURCE: published, or a file."),
)
declare_keys(
    __name__,
    "DATA",
    CLIP,
    Key(
        "TEST_CROP_SIZE",
        112,
        "Side of a test clip in pixels, to which the short side is scaled; see TEST.TRANSFORM.",
        Limits(low=8),
    ),
)


def clip_format_from_config(cfg: CfgNode) -> ClipFormat:
    """Return the clip format of the networks of a configuration."""
    data = cfg.DATA
    return ClipFormat(
        frames=data.NUM_FRAMES,
        fps=data.TARGET_FPS,
        size=data.TEST_CROP_SIZE,
        train_size=data.TRAIN_CROP_SIZE,
        audio_rate_hz=cfg.AUDIO.SAMPLE_RATE,
        audio_seconds=cfg.TEST.AUDIO_SECONDS or data.NUM_FRAMES / data.TARGET_FPS,
        random_crop=spatial_from_config(cfg),
        color=color_from_config(cfg),
        frame_choice=data.FRAME_CHOICE,
        short_size=data.DECODING_SHORT_SIZE,
    )


def loading_from_config(cfg: CfgNode, device: torch.device) -> Loading:
    """Return the settings of a pass over files for a network on a device."""
    return Loading(device, cfg.TEST.BATCH_SIZE, cfg.DATA_LOADER.NUM_WORKERS, cfg.DATA_LOADER.START_METHOD)
