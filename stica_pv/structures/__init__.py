"""The values that pass between the layers: the views of a task, the clips of a file, the results of a step.

Axis letters: B batch, C channel, T time, H height, W width, S audio sample, N window (crop), K token, D embedding.
"""

from stica_pv.structures.batch import Batch, ReadFailure, SampleKey, StepKeys
from stica_pv.structures.inspection import Comparison, FeatureWindow, InputNote
from stica_pv.structures.media import AT_END, AtEnd, Clip, ClipRequest, Window, describe
from stica_pv.structures.movable import Movable
from stica_pv.structures.step import CropPlan, Embeddings, LossTerms
from stica_pv.structures.views import AudioSpec, FrameTransform, Views, ViewSpec, WindowPolicy

__all__ = [
    "AT_END",
    "AtEnd",
    "AudioSpec",
    "Batch",
    "Clip",
    "ClipRequest",
    "Comparison",
    "CropPlan",
    "Embeddings",
    "FeatureWindow",
    "FrameTransform",
    "InputNote",
    "LossTerms",
    "Movable",
    "ReadFailure",
    "SampleKey",
    "StepKeys",
    "ViewSpec",
    "Views",
    "Window",
    "WindowPolicy",
    "describe",
]
