"""Every key with its default, put together from the components that declare them."""

from stica_pv.config import CfgNode
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, Limits
from stica_pv.data.config import DATA_LIMITS, add_data_config
from stica_pv.data.synthetic.source import SYNTHETIC_LIMITS, add_synthetic_config
from stica_pv.engine.config import ENGINE_LIMITS, add_engine_config
from stica_pv.evaluation.config import EVALUATION_LIMITS, add_evaluation_config
from stica_pv.models.config import MODEL_LIMITS, add_model_config
from stica_pv.tasks.av_contrastive_config import AV_CONTRASTIVE_LIMITS, add_av_contrastive_config
from stica_pv.transforms.config import TRANSFORM_LIMITS, add_transform_config

LIMITS: dict[str, Limits] = {
    "NUM_GPUS": Limits(low=-1),
    "CPU_PROCESSES": AT_LEAST_ONE,
    "NUM_SHARDS": AT_LEAST_ONE,
    "SHARD_ID": NOT_NEGATIVE,
    **TRANSFORM_LIMITS,
    **MODEL_LIMITS,
    **AV_CONTRASTIVE_LIMITS,
    **DATA_LIMITS,
    **SYNTHETIC_LIMITS,
    **ENGINE_LIMITS,
    **EVALUATION_LIMITS,
}


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
