"""Methods: their views, their networks and their losses, behind one interface."""

from stica_pv.tasks.base import ParameterGroup, Plan, Task
from stica_pv.tasks.classification.classification import Classification, Classifier
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.stica.av_contrastive import AVContrastive
from stica_pv.tasks.stica.av_plan import ClipSettings
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
    "Plan",
    "Task",
    "VideoEncoder",
    "one_window",
]
