"""Keys of the protocols on frozen features; each is part of the exact name of its protocol."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Limits, declare_limits, one_of
from stica_pv.evaluation.protocols.linear_svm import CLASSIFIERS
from stica_pv.evaluation.protocols.neighbors import VOTES
from stica_pv.evaluation.protocols.requests import AS_TEST
from stica_pv.evaluation.requests import LAYERS, MODALITIES, TEST_TRANSFORMS


def add_protocol_config(cfg: CfgNode) -> None:
    """Declare the keys of TEST that the protocols share, and TEST.LINEAR, .FEW_SHOT, .SVM and .AUDIO_MLP."""
    test = section(cfg, "TEST")
    test.MODALITY = "video"  # video | audio; cross_modal takes both, audio_mlp audio
    test.LAYER = "pooled"  # map | map_max | pooled | projected; cross_modal: projected, retrieval_selavi: map_max
    test.TRAIN_CLIPS = 0  # clips per training item; 0: as many as in the test
    test.TRAIN_TRANSFORM = AS_TEST  # transform of training items: as_test, or a value of TEST.TRANSFORM
    test.HOLDOUT_SHARE = 0.2  # share of training items to choose a learning rate or a C; whole groups
    test.KNN_VOTES = "weighted"  # weighted by exp(cosine / 0.07) | plain

    linear = section(test, "LINEAR")
    linear.LR = 32.0  # learning rate of linear at batch 1024
    linear.LRS = [0.01, 0.1, 1.0, 10.0, 100.0]  # candidates of linear_plain at batch 1024
    linear.BATCH_SIZE = 1024
    linear.EPOCHS = 100
    linear.WEIGHT_DECAY = 0.0

    few_shot = section(test, "FEW_SHOT")
    few_shot.SHOTS = [1, 5, 20]  # labels per class
    few_shot.DRAWS = 10
    few_shot.CLASSIFIER = "svm"  # svm | logistic
    few_shot.C = 1.0

    svm = section(test, "SVM")
    svm.C = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]  # candidates; a single value needs no hold-out
    svm.STANDARDIZE = True

    mlp = section(test, "AUDIO_MLP")
    mlp.HIDDEN_DIM = 512
    mlp.LR = 1e-3
    mlp.BATCH_SIZE = 512
    mlp.EPOCHS = 30
    mlp.WEIGHT_DECAY = 0.0


declare_limits(
    {
        "TEST.MODALITY": one_of(*MODALITIES),
        "TEST.LAYER": one_of(*LAYERS),
        "TEST.TRAIN_CLIPS": NOT_NEGATIVE,
        "TEST.TRAIN_TRANSFORM": one_of(AS_TEST, *TEST_TRANSFORMS),
        "TEST.HOLDOUT_SHARE": Limits(low=0.01, high=0.9),
        "TEST.KNN_VOTES": one_of(*VOTES),
        "TEST.LINEAR.LR": POSITIVE,
        "TEST.LINEAR.LRS": POSITIVE,
        "TEST.LINEAR.BATCH_SIZE": AT_LEAST_ONE,
        "TEST.LINEAR.EPOCHS": AT_LEAST_ONE,
        "TEST.LINEAR.WEIGHT_DECAY": NOT_NEGATIVE,
        "TEST.FEW_SHOT.SHOTS": AT_LEAST_ONE,
        "TEST.FEW_SHOT.DRAWS": AT_LEAST_ONE,
        "TEST.FEW_SHOT.CLASSIFIER": one_of(*CLASSIFIERS),
        "TEST.FEW_SHOT.C": POSITIVE,
        "TEST.SVM.C": POSITIVE,
        "TEST.AUDIO_MLP.HIDDEN_DIM": AT_LEAST_ONE,
        "TEST.AUDIO_MLP.LR": POSITIVE,
        "TEST.AUDIO_MLP.BATCH_SIZE": AT_LEAST_ONE,
        "TEST.AUDIO_MLP.EPOCHS": AT_LEAST_ONE,
        "TEST.AUDIO_MLP.WEIGHT_DECAY": NOT_NEGATIVE,
    }
)
