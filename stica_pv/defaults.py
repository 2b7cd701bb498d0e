"""All keys with their defaults, collected from the components that declare them."""

from stica_pv.config import CfgNode
from stica_pv.data.config import add_data_config
from stica_pv.data.synthetic.source import add_synthetic_config
from stica_pv.distributed.config import add_distributed_config
from stica_pv.engine.config import add_engine_config
from stica_pv.engine.trackers.config import add_tracker_config
from stica_pv.evaluation.config import add_evaluation_config
from stica_pv.evaluation.finetune.config import add_finetune_config
from stica_pv.evaluation.online_knn import add_online_knn_config
from stica_pv.evaluation.protocols.config import add_protocol_config
from stica_pv.models.config import add_model_config
from stica_pv.tasks.brave.config import BRAVE_KEYS, add_brave_config
from stica_pv.tasks.classification.config import (
    CLASSIFICATION_KEYS,
    add_classification_config,
)
from stica_pv.tasks.cvrl.config import CVRL_KEYS, add_cvrl_config
from stica_pv.tasks.gdt.config import GDT_KEYS, add_gdt_config
from stica_pv.tasks.stica.config import AV_CONTRASTIVE_KEYS, add_av_contrastive_config
from stica_pv.transforms.config import add_transform_config

# For each task, the keys that it reads and some other tasks do not.
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
    cfg.CUSTOM_IMPORTS = []  # modules that register your own components
    cfg.OVERRIDES = []  # keys of the command line, recorded at the start of a run: they override those of a checkpoint
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
