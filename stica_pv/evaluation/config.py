"""Keys of the evaluations."""

import torch

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, Limits, declare_limits, one_of
from stica_pv.evaluation.evaluated_model import ClipFormat
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.features.store import DTYPES
from stica_pv.evaluation.normalization import FEATURE_NORMS
from stica_pv.evaluation.requests import TEST_TRANSFORMS
from stica_pv.transforms.config import color_from_config, spatial_from_config


def add_evaluation_config(cfg: CfgNode) -> None:
    """Declare TEST."""
    test = section(cfg, "TEST")
    test.ENABLE = False
    test.EVALUATIONS = ["retrieval", "knn"]  # names: --list evaluations
    test.CHECKPOINT_FILE_PATH = ""  # one or several, separated by commas; default: the newest one in OUTPUT_DIR
    test.ALLOW_RANDOM_INIT = False  # evaluate without a checkpoint
    test.BATCH_SIZE = 32  # clips per forward pass, on each process
    test.NUM_ENSEMBLE_VIEWS = 10  # clips per video, or windows of its audio, equally spaced
    test.NUM_SPATIAL_CROPS = 1  # 1: center, 3: both ends of the longer side too
    test.AUDIO_SECONDS = 0.0  # length of an audio window; 0: as long as the clips of the checkpoint
    # fixed | released (random short side and color jitter) | random_crop | augmented (both DATA.TRAIN_CROP_SIZE large)
    test.TRANSFORM = "fixed"
    test.FEATURE_NORM = "centered"  # normalization of trained features: raw | centered | standardized
    test.KNN_K = 20
    test.COUNT_UNREADABLE_AS_WRONG = False  # items that are unreadable or lack requested audio; False: raise an error
    test.FEATURE_DTYPE = "float32"  # float32 | float16, dtype of the stored features
    model = section(cfg, "MODEL")
    model.SOURCE = ""  # additional model: pytorchvideo:<name>, torchvision:<name>; set DATA.NUM_FRAMES etc. for it
    model.SOURCE_WEIGHTS = "published"  # published | a file
    section(cfg, "DATA").TEST_CROP_SIZE = 112  # the short side is scaled to it; see TEST.TRANSFORM


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


declare_limits(
    {
        "TEST.BATCH_SIZE": AT_LEAST_ONE,
        "TEST.NUM_ENSEMBLE_VIEWS": AT_LEAST_ONE,
        "TEST.NUM_SPATIAL_CROPS": Limits(low=1, high=3),
        "TEST.TRANSFORM": one_of(*TEST_TRANSFORMS),
        "TEST.FEATURE_NORM": one_of(*FEATURE_NORMS),
        "TEST.KNN_K": AT_LEAST_ONE,
        "TEST.AUDIO_SECONDS": Limits(low=0, high=600),
        "TEST.FEATURE_DTYPE": one_of(*DTYPES),
        "DATA.TEST_CROP_SIZE": Limits(low=8),
    }
)
