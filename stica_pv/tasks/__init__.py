"""Methods: their views, their networks and their losses, behind one interface."""

from stica_pv.tasks.base import AugmentationParams, ParameterGroup, Task
from stica_pv.tasks.classification.classification import Classification, Classifier
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.parts import clip_views, create_audio_encoder, create_video_encoder
from stica_pv.tasks.stica.av_contrastive import AVContrastive
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.tasks.stica.crop_terms import CropSettings, CropTable
from stica_pv.transforms.windows import one_window

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
    "clip_views",
    "create_audio_encoder",
    "create_video_encoder",
    "one_window",
]
