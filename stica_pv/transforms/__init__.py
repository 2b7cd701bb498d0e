"""Transforms of frames and audio: crops in the loader workers, color and log-mel on the device."""

from stica_pv.transforms.color import apply_color
from stica_pv.transforms.color_brave import (
    BraveColorParams,
    BraveColorSettings,
    apply_brave_color,
    sample_brave_color,
)
from stica_pv.transforms.color_params import ColorParams, ColorSettings, sample_color
from stica_pv.transforms.color_simclr import (
    SimclrColorParams,
    SimclrColorSettings,
    apply_simclr_color,
    sample_simclr_color,
)
from stica_pv.transforms.config import (
    color_from_config,
    log_mel_from_config,
    spatial_from_config,
)
from stica_pv.transforms.flow import FlowCrop, scale_flow
from stica_pv.transforms.log_mel import LogMel, create_log_mel, log_mel_frames
from stica_pv.transforms.random_convolution import (
    RandomConvolutionParams,
    apply_random_convolution,
    sample_random_convolution,
)
from stica_pv.transforms.spatial import CropBox, FixedCrop, RandomResizedCrop, RandomShortSideCrop, apply_box
from stica_pv.transforms.spec_augment import SpecAugmentParams, apply_spec_augment, sample_spec_augment
from stica_pv.transforms.volume import sample_volume

__all__ = [
    "BraveColorParams",
    "BraveColorSettings",
    "CropBox",
    "SimclrColorParams",
    "SimclrColorSettings",
    "FixedCrop",
    "FlowCrop",
    "LogMel",
    "ColorParams",
    "ColorSettings",
    "RandomConvolutionParams",
    "RandomResizedCrop",
    "RandomShortSideCrop",
    "SpecAugmentParams",
    "apply_box",
    "apply_brave_color",
    "apply_simclr_color",
    "apply_color",
    "apply_random_convolution",
    "apply_spec_augment",
    "create_log_mel",
    "sample_brave_color",
    "sample_simclr_color",
    "sample_color",
    "sample_random_convolution",
    "sample_spec_augment",
    "sample_volume",
    "log_mel_frames",
    "log_mel_from_config",
    "color_from_config",
    "scale_flow",
    "spatial_from_config",
]
