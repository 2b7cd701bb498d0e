"""All keys with their defaults, collected from the components that declare them."""

import importlib

from stica_pv.config import CfgNode
from stica_pv.config.keys import TABLE, Key, declare_keys
from stica_pv.config.roles import FREE, NETWORK, OUTPUT

COMPONENTS = (
    "stica_pv.defaults",
    "stica_pv.distributed.config",
    "stica_pv.transforms.config",
    "stica_pv.models.config",
    "stica_pv.tasks.stica.config",
    "stica_pv.tasks.classification.config",
    "stica_pv.tasks.gdt.config",
    "stica_pv.tasks.cvrl.config",
    "stica_pv.tasks.brave.config",
    "stica_pv.data.config",
    "stica_pv.data.synthetic.source",
    "stica_pv.engine.config",
    "stica_pv.engine.trackers.config",
    "stica_pv.evaluation.config",
    "stica_pv.evaluation.protocols.config",
    "stica_pv.evaluation.finetune.config",
    "stica_pv.evaluation.online",
)
"""Modules of this package that declare keys; `stica_pv.config.declared` reads them from their source."""

declare_keys(
    __name__,
    "",
    OUTPUT,
    Key("TASK", "av_contrastive", "Method: a name of `--list tasks`.", role=NETWORK),
    Key("OUTPUT_DIR", "", "Folder of the run; empty takes output/<project>/<config>[/<overrides>]."),
    Key("CUSTOM_IMPORTS", [], "Modules to import, which declare keys and register components.", role=FREE),
    Key("OVERRIDES", [], "Keys of the command line, recorded at the start; they override those of a checkpoint."),
)

for _component in COMPONENTS[1:]:
    importlib.import_module(_component)


def get_cfg() -> CfgNode:
    """Returns a fresh configuration of defaults, with the keys of all modules that are imported."""
    return TABLE.defaults(COMPONENTS)
