"""STiCA (Space-Time Crop & Attend, ICCV 2021) and its relatives as a plugin for pytorchvideo."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stica_pv.exchange import load_encoder
    from stica_pv.models import FeatureCrop, TransformerPool, create_backbone
    from stica_pv.tasks import AVContrastive

__version__ = "0.1.0"

__all__ = [
    "AVContrastive",
    "FeatureCrop",
    "TransformerPool",
    "__version__",
    "create_backbone",
    "load_encoder",
]

# The modules of the public names; they need torch, so that they are imported when a name is used.
_MODULES = {
    "AVContrastive": "stica_pv.tasks",
    "FeatureCrop": "stica_pv.models",
    "TransformerPool": "stica_pv.models",
    "create_backbone": "stica_pv.models",
    "load_encoder": "stica_pv.exchange",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
