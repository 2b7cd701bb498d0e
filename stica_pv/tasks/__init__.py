"""Methods: what they want to see, their networks and their losses, behind one contract."""

from stica_pv.tasks import brave_config, cvrl_config, gdt_config  # noqa: F401 - they register their names
from stica_pv.tasks.av_contrastive import AVContrastive
from stica_pv.tasks.av_contrastive_config import add_av_contrastive_config
from stica_pv.tasks.av_plan import ClipSettings
from stica_pv.tasks.base import ParameterGroup, Plan, Task
from stica_pv.tasks.classification import Classification, Classifier
from stica_pv.tasks.classification_config import add_classification_config
from stica_pv.tasks.crop_terms import CropSettings, CropTable
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
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
    "Plan",
    "Task",
    "VideoEncoder",
    "add_av_contrastive_config",
    "add_classification_config",
    "one_window",
]
