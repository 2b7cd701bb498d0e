"""Networks and their parts, each built without a configuration by a `create_*` function."""

from stica_pv.models.audio_resnet import AudioResNet, create_audio_resnet9, create_audio_resnet18
from stica_pv.models.feature_crop import FeatureCrop, draw_boxes, plan_crops, whole_map
from stica_pv.models.feature_map import measure_map
from stica_pv.models.pooling import AveragePool, Pooling, TransformerPool, create_average_pool, create_transformer_pool
from stica_pv.models.projection import GroupBatchNorm, ProjectionHead, create_projection_head
from stica_pv.models.video_resnet import VideoResNet, create_r2plus1d_10, create_r2plus1d_18

__all__ = [
    "AudioResNet",
    "AveragePool",
    "FeatureCrop",
    "GroupBatchNorm",
    "Pooling",
    "ProjectionHead",
    "TransformerPool",
    "VideoResNet",
    "create_audio_resnet9",
    "create_audio_resnet18",
    "create_average_pool",
    "create_projection_head",
    "create_r2plus1d_10",
    "create_r2plus1d_18",
    "create_transformer_pool",
    "draw_boxes",
    "measure_map",
    "plan_crops",
    "whole_map",
]
