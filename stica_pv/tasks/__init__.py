"""Methods: their views, their networks and their losses, behind one interface."""

from stica_pv.tasks.base import AugmentationParams, ParameterGroup, Task
from stica_pv.tasks.brave import config as brave_config  # noqa: F401 - they register their names
from stica_pv.tasks.classification.classification import Classification, Classifier
from stica_pv.tasks.classification.config import add_classification_config
from stica_pv.tasks.cvrl import config as cvrl_config  # noqa: F401 - they register their names
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.gdt import config as gdt_config  # noqa: F401 - they register their names
from stica_pv.tasks.stica.av_contrastive import AVContrastive
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.tasks.stica.config import add_av_contrastive_config
from stica_pv.tasks.stica.crop_terms import CropSettings, CropTable
from stica_pv.tasks.windows import one_window

__all__ = [
    "AVContrastive",
    "AudioEncoder",
    "Classification",
    "Classifier",
    "ClipSettings",
    "CropSettings",
    "CropTable",
    "ParameterGroup",
    "AugmentationParams",
    "Task",
    "VideoEncoder",
    "add_av_contrastive_config",
    "add_classification_config",
    "one_window",
]
