"""Keys of the evaluations."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, Limits, one_of
from stica_pv.evaluation.neighbours import PROCESSINGS
from stica_pv.evaluation.views import TRANSFORMS


def add_evaluation_config(cfg: CfgNode) -> None:
    """Declares TEST."""
    test = section(cfg, "TEST")
    test.ENABLE = False
    test.EVALUATIONS = ["retrieval", "knn"]  # of --list evaluations
    test.CHECKPOINT_FILE_PATH = ""  # default: the newest checkpoint in OUTPUT_DIR
    test.ALLOW_RANDOM_INIT = False  # evaluate without any checkpoint
    test.BATCH_SIZE = 8  # videos at a time, on each process
    test.NUM_ENSEMBLE_VIEWS = 10  # clips of a video, equally spaced
    test.NUM_SPATIAL_CROPS = 1  # 1: centre, 3: both ends of the longer side too
    test.TRANSFORM = "fixed"  # fixed | released (random short side and colour jitter at test)
    test.PROCESSING = "centred"  # of trained features: raw | centred | standardised
    test.KNN_K = 20
    section(cfg, "DATA").TEST_CROP_SIZE = 112  # the short side is scaled to it


EVALUATION_LIMITS = {
    "TEST.BATCH_SIZE": AT_LEAST_ONE,
    "TEST.NUM_ENSEMBLE_VIEWS": AT_LEAST_ONE,
    "TEST.NUM_SPATIAL_CROPS": Limits(low=1, high=3),
    "TEST.TRANSFORM": one_of(*TRANSFORMS),
    "TEST.PROCESSING": one_of(*PROCESSINGS),
    "TEST.KNN_K": AT_LEAST_ONE,
    "DATA.TEST_CROP_SIZE": Limits(low=8),
}
