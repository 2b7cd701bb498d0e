"""Keys of the protocols on frozen features; each is part of the exact name of its protocol."""

from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Limits, one_of
from stica_pv.config.roles import EVALUATION
from stica_pv.evaluation.protocols.linear_svm import CLASSIFIERS
from stica_pv.evaluation.protocols.neighbors import VOTES
from stica_pv.evaluation.protocols.requests import AS_TEST
from stica_pv.evaluation.requests import BOTH, LAYERS, MODALITIES, TEST_TRANSFORMS

declare_keys(
    __name__,
    "TEST",
    EVALUATION,
    Key(
        "MODALITY",
        "video",
        "Modality of the features; video+audio scores each and both together; cross_modal takes both, audio_mlp audio.",
        one_of(*MODALITIES, BOTH),
    ),
    Key(
        "LAYER",
        "pooled",
        "Layer of the features; cross_modal takes projected, retrieval_selavi takes map_max.",
        one_of(*LAYERS),
    ),
    Key("TRAIN_CLIPS", 0, "Clips per training item; 0 takes as many as in the test.", NOT_NEGATIVE),
    Key(
        "TRAIN_TRANSFORM",
        AS_TEST,
        "Transform of training items: as in the test, or a value of TEST.TRANSFORM.",
        one_of(AS_TEST, *TEST_TRANSFORMS),
    ),
    Key(
        "HOLDOUT_SHARE",
        0.2,
        "Share of training items that choose a learning rate or a C; groups are never split.",
        Limits(low=0.01, high=0.9),
    ),
    Key("KNN_VOTES", "weighted", "Votes of kNN: weighted by exp(cosine / 0.07), or plain.", one_of(*VOTES)),
)
declare_keys(
    __name__,
    "TEST.LINEAR",
    EVALUATION,
    Key("LR", 32.0, "Learning rate of linear at batch 1024.", POSITIVE),
    Key("LRS", [0.01, 0.1, 1.0, 10.0, 100.0], "Candidate learning rates of linear_plain at batch 1024.", POSITIVE),
    Key("BATCH_SIZE", 1024, "Batch size of linear classifiers.", AT_LEAST_ONE),
    Key("EPOCHS", 100, "Epochs of linear classifiers.", AT_LEAST_ONE),
    Key("WEIGHT_DECAY", 0.0, "Weight decay of linear classifiers.", NOT_NEGATIVE),
)
declare_keys(
    __name__,
    "TEST.ATTENTIVE",
    EVALUATION,
    Key("DEPTH", 4, "Blocks of the attentive probe: self-attention, and cross-attention in the last.", AT_LEAST_ONE),
    Key("HEADS", 16, "Attention heads of the attentive probe.", AT_LEAST_ONE),
    Key("LRS", [5e-3, 3e-3, 1e-3, 3e-4, 1e-4], "Learning rates of the grid of attentive probes.", POSITIVE),
    Key("WEIGHT_DECAYS", [0.01, 0.1, 0.4, 0.8], "Weight decays of the grid of attentive probes.", NOT_NEGATIVE),
    Key("BATCH_SIZE", 256, "Batch size of attentive probes.", AT_LEAST_ONE),
    Key("EPOCHS", 20, "Epochs of attentive probes.", AT_LEAST_ONE),
)
declare_keys(
    __name__,
    "TEST.FEW_SHOT",
    EVALUATION,
    Key("SHOTS", [1, 5, 20], "Numbers of labels per class.", AT_LEAST_ONE),
    Key("DRAWS", 10, "Number of random training sets per number of labels.", AT_LEAST_ONE),
    Key("CLASSIFIER", "svm", "Classifier of few_shot.", one_of(*CLASSIFIERS)),
    Key("C", 1.0, "Inverse regularization of the classifier.", POSITIVE),
)
declare_keys(
    __name__,
    "TEST.SVM",
    EVALUATION,
    Key(
        "C",
        [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0],
        "Candidates of the inverse regularization; a single value needs no hold-out.",
        POSITIVE,
    ),
    Key("STANDARDIZE", True, "Whether features are standardized for the SVM."),
)
declare_keys(
    __name__,
    "TEST.SYNCHRONY",
    EVALUATION,
    Key("MOMENTS", 11, "Number of moments of a clip that synchrony compares.", Limits(low=2)),
    Key(
        "STEP_SECONDS", 0.1, "Distance of the moments, at best a multiple of the frame interval of the files.", POSITIVE
    ),
    Key("MAX_SHIFT", 5, "Largest offset between video and audio that is tried, in steps.", AT_LEAST_ONE),
)
declare_keys(
    __name__,
    "TEST.AUDIO_MLP",
    EVALUATION,
    Key("HIDDEN_DIM", 512, "Width of the hidden layer of audio_mlp.", AT_LEAST_ONE),
    Key("LR", 1e-3, "Learning rate of audio_mlp.", POSITIVE),
    Key("BATCH_SIZE", 512, "Batch size of audio_mlp.", AT_LEAST_ONE),
    Key("EPOCHS", 30, "Epochs of audio_mlp.", AT_LEAST_ONE),
    Key("WEIGHT_DECAY", 0.0, "Weight decay of audio_mlp.", NOT_NEGATIVE),
)
