"""Every key with its default, put together from the components that declare them."""

from stica_pv.config import CfgNode
from stica_pv.config.limits import Limits
from stica_pv.data.config import DATA_LIMITS, add_data_config
from stica_pv.data.synthetic.source import SYNTHETIC_LIMITS, add_synthetic_config
from stica_pv.distributed.config import DISTRIBUTED_LIMITS, add_distributed_config
from stica_pv.engine.config import ENGINE_LIMITS, add_engine_config
from stica_pv.engine.trackers.config import TRACKER_LIMITS, add_tracker_config
from stica_pv.evaluation.config import EVALUATION_LIMITS, add_evaluation_config
from stica_pv.evaluation.finetune.config import FINETUNE_LIMITS, add_finetune_config
from stica_pv.evaluation.online_knn import ONLINE_KNN_LIMITS, add_online_knn_config
from stica_pv.evaluation.protocols.config import PROTOCOL_LIMITS, add_protocol_config
from stica_pv.models.config import MODEL_LIMITS, add_model_config
from stica_pv.tasks.brave.config import BRAVE_KEYS, BRAVE_LIMITS, add_brave_config
from stica_pv.tasks.classification.config import (
    CLASSIFICATION_KEYS,
    CLASSIFICATION_LIMITS,
    add_classification_config,
)
from stica_pv.tasks.cvrl.config import CVRL_KEYS, CVRL_LIMITS, add_cvrl_config
from stica_pv.tasks.gdt.config import GDT_KEYS, GDT_LIMITS, add_gdt_config
from stica_pv.tasks.stica.config import AV_CONTRASTIVE_KEYS, AV_CONTRASTIVE_LIMITS, add_av_contrastive_config
from stica_pv.transforms.config import TRANSFORM_LIMITS, add_transform_config

LIMITS: dict[str, Limits] = {
    **DISTRIBUTED_LIMITS,
    **TRANSFORM_LIMITS,
    **MODEL_LIMITS,
    **AV_CONTRASTIVE_LIMITS,
    **CLASSIFICATION_LIMITS,
    **GDT_LIMITS,
    **CVRL_LIMITS,
    **BRAVE_LIMITS,
    **DATA_LIMITS,
    **SYNTHETIC_LIMITS,
    **ENGINE_LIMITS,
    **TRACKER_LIMITS,
    **EVALUATION_LIMITS,
    **PROTOCOL_LIMITS,
    **FINETUNE_LIMITS,
    **ONLINE_KNN_LIMITS,
}
# Of the keys that not all tasks read, those that each does.
OWNED_KEYS: dict[str, tuple[str, ...]] = {
    "av_contrastive": AV_CONTRASTIVE_KEYS,
    "classification": CLASSIFICATION_KEYS,
    "gdt": GDT_KEYS,
    "cvrl": CVRL_KEYS,
    "brave": BRAVE_KEYS,
}


def get_cfg() -> CfgNode:
    """Returns a fresh configuration of defaults."""
    cfg = CfgNode()
    cfg.TASK = "av_contrastive"  # one of --list tasks
    cfg.OUTPUT_DIR = ""  # default: output/<project>/<config>[/<overrides>]
    cfg.CUSTOM_IMPORTS = []  # modules that register components of yours
    cfg.OVERRIDES = []  # keys of the command line, noted at the start of a run: they win over those of a checkpoint
    for add in (
        add_distributed_config,
        add_transform_config,
        add_model_config,
        add_av_contrastive_config,
        add_classification_config,
        add_gdt_config,
        add_cvrl_config,
        add_brave_config,
        add_data_config,
        add_synthetic_config,
        add_engine_config,
        add_tracker_config,
        add_evaluation_config,
        add_protocol_config,
        add_finetune_config,
        add_online_knn_config,
    ):
        add(cfg)
    return cfg
