"""What is done to pictures and sound: crops in the loader workers, photometry and log-mel on the device."""

from stica_pv.transforms.color import apply_photometry
from stica_pv.transforms.color_brave import (
    BraveColourPlan,
    BraveColourSettings,
    apply_brave_colour,
    draw_brave_colour,
)
from stica_pv.transforms.color_params import PhotometryPlan, PhotometrySettings, draw_photometry
from stica_pv.transforms.color_simclr import DistortionPlan, DistortionSettings, apply_distortion, draw_distortion
from stica_pv.transforms.config import (
    add_transform_config,
    log_mel_from_config,
    photometry_from_config,
    spatial_from_config,
)
from stica_pv.transforms.flow import FlowCrop, scale_flow
from stica_pv.transforms.log_mel import LogMel, create_log_mel, log_mel_frames
from stica_pv.transforms.random_convolution import (
    RandomConvolutionPlan,
    apply_random_convolution,
    draw_random_convolution,
)
from stica_pv.transforms.spatial import CropBox, FixedCrop, RandomResizedCrop, RandomShortSideCrop, apply_box
from stica_pv.transforms.spec_augment import SpecAugmentPlan, apply_spec_augment, draw_spec_augment
from stica_pv.transforms.volume import draw_volume

__all__ = [
    "BraveColourPlan",
    "BraveColourSettings",
    "CropBox",
    "DistortionPlan",
    "DistortionSettings",
    "FixedCrop",
    "FlowCrop",
    "LogMel",
    "PhotometryPlan",
    "PhotometrySettings",
    "RandomConvolutionPlan",
    "RandomResizedCrop",
    "RandomShortSideCrop",
    "SpecAugmentPlan",
    "add_transform_config",
    "apply_box",
    "apply_brave_colour",
    "apply_distortion",
    "apply_photometry",
    "apply_random_convolution",
    "apply_spec_augment",
    "create_log_mel",
    "draw_brave_colour",
    "draw_distortion",
    "draw_photometry",
    "draw_random_convolution",
    "draw_spec_augment",
    "draw_volume",
    "log_mel_frames",
    "log_mel_from_config",
    "photometry_from_config",
    "scale_flow",
    "spatial_from_config",
]
