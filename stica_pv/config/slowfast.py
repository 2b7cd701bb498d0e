"""SlowFast keys that users will try, with what to use instead; none is ignored silently."""

FOREIGN_KEYS: dict[str, str] = {
    "AUG.ENABLE": "augmentations are keys of DATA, such as DATA.COLOR_JITTER_PROB",
    "BN.NUM_SYNC_DEVICES": "batch-norm is synchronized over all processes; BN.SYNC switches it",
    "BN.NORM_TYPE": "batch-norm is synchronized over all processes; BN.SYNC switches it",
    "BN.USE_PRECISE_STATS": "evaluation always re-estimates the statistics of random initialization; drop it",
    "BN.WEIGHT_DECAY": "use SOLVER.ZERO_WD_1D_PARAM",
    "CONTRASTIVE.DIM": "use HEAD.DIM",
    "CONTRASTIVE.MLP_DIM": "use HEAD.HIDDEN_DIM",
    "CONTRASTIVE.NUM_MLP_LAYERS": "the projection head has two layers; drop it",
    "CONTRASTIVE.BN_SYNC_MLP": "use BN.SYNC",
    "CONTRASTIVE.TYPE": "use TASK",
    "CONTRASTIVE.KNN_ON": "use TEST.ENABLE and TEST.EVALUATIONS",
    "DATA.SAMPLING_RATE": "use DATA.TARGET_FPS; frames are picked by time, not by index",
    "DATA.DECODING_BACKEND": "there is one exact reader; drop it",
    "DATA.INPUT_CHANNEL_NUM": "the networks take RGB; drop it",
    "DATA.REVERSE_INPUT_CHANNEL": "the networks take RGB; drop it",
    "DATA.SSL_COLOR_JITTER": "use DATA.COLOR_JITTER_PROB",
    "DATA.SSL_BLUR_SIGMA_MIN": "use DATA.BLUR_SIGMA",
    "DATA.SSL_BLUR_SIGMA_MAX": "use DATA.BLUR_SIGMA",
    "DATA.SSL_MOCOV2_AUG": "use DATA.BLUR_PROB and DATA.COLOR_RND_GRAYSCALE",
    "DIST_BACKEND": "nccl on GPUs, gloo on CPUs; drop it",
    "MODEL.MODEL_NAME": "use MODEL.ARCH for the network and TASK for the method",
    "MODEL.LOSS_FUNC": "the loss belongs to the TASK",
    "MODEL.DROPOUT_RATE": "use HEAD.DROPOUT",
    "RESNET.DEPTH": "use MODEL.ARCH",
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": "use SOLVER.LR_REFERENCE_BATCH",
    "SOLVER.WARMUP_FACTOR": "use SOLVER.WARMUP_START_LR",
    "SOLVER.GAMMA": "use SOLVER.STEPS with SOLVER.LRS",
    "SOLVER.LARS_ON": "use SOLVER.OPTIMIZING_METHOD",
    "TRAIN.ACCUMULATE_STEPS": "a contrastive loss over small batches has few negatives; use TRAIN.GRAD_CACHE_CHUNK",
    "TRAIN.CHECKPOINT_TYPE": "only PyTorch checkpoints are read; drop it",
    "TEST.CHECKPOINT_TYPE": "only PyTorch checkpoints are read; drop it",
    "TRAIN.EVAL_PERIOD": "evaluations run after training; use TEST.ENABLE",
}

# Usual names of other projects whose spelling is nearer to a wrong key than to the right one.
USUAL_NAMES: dict[str, str] = {
    "SOLVER.LR": "SOLVER.BASE_LR",
    "TRAIN.LR": "SOLVER.BASE_LR",
    "SOLVER.EPOCHS": "SOLVER.MAX_EPOCH",
    "TRAIN.EPOCHS": "SOLVER.MAX_EPOCH",
}
