"""Every key with its default, put together from the components that declare them."""

from stica_pv.config import CfgNode
from stica_pv.data.config import add_data_config
from stica_pv.data.synthetic import add_synthetic_config
from stica_pv.engine.config import add_engine_config
from stica_pv.evaluation.config import add_evaluation_config
from stica_pv.models.config import add_model_config
from stica_pv.tasks import add_av_contrastive_config
from stica_pv.transforms.config import add_transform_config


def get_cfg() -> CfgNode:
    """Returns a fresh configuration of defaults."""
    cfg = CfgNode()
    cfg.TASK = "av_contrastive"  # one of --list tasks
    cfg.OUTPUT_DIR = ""  # default: output/<project>/<config>[/<overrides>]
    cfg.NUM_GPUS = -1  # on this machine; -1: all that are present, 0: run on the CPU
    cfg.CPU_PROCESSES = 1  # processes when NUM_GPUS is 0
    cfg.NUM_SHARDS = 1  # machines
    cfg.SHARD_ID = 0  # this machine
    cfg.CUSTOM_IMPORTS = []  # modules that register components of yours
    for add in (
        add_transform_config,
        add_model_config,
        add_av_contrastive_config,
        add_data_config,
        add_synthetic_config,
        add_engine_config,
        add_evaluation_config,
    ):
        add(cfg)
    return cfg
