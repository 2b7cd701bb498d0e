"""Networks and their parts, each built without a configuration by a `create_*` function."""

from stica_pv.models import audio_pathways  # noqa: F401 - it registers its names
from stica_pv.models.audio_resnet import AudioResNet, create_audio_resnet9, create_audio_resnet18
from stica_pv.models.audio_vit import AudioTransformer, create_ast_b, create_ast_s
from stica_pv.models.backbones import STANDARD_INPUTS, create_backbone, trunk_from_source
from stica_pv.models.feature_crop import FeatureCrop, boxes_of, plan_crops, same_window, sample_boxes, whole_map
from stica_pv.models.feature_map import (
    Maps,
    MapSize,
    Trunk,
    as_list,
    join_pathways,
    measure_map,
    measure_pathways,
)
from stica_pv.models.pooling import AveragePool, Pooling, TransformerPool, create_average_pool, create_transformer_pool
from stica_pv.models.prediction import Predictor, Projector
from stica_pv.models.projection import GroupBatchNorm, MLPHead, ProjectionHead, create_projection_head
from stica_pv.models.resnet_v2 import AudioResNetV2, create_audio_resnet14_v2, create_audio_resnet50_v2
from stica_pv.models.staged_trunks import NetTrunk
from stica_pv.models.stica_head import STiCAHead, create_stica_head
from stica_pv.models.token_drop import check_token_drop, keep_computed, sample_kept
from stica_pv.models.trunks import trunk_of
from stica_pv.models.tsm_resnet import TSMResNet, create_tsm_resnet14, create_tsm_resnet50
from stica_pv.models.video_resnet import VideoResNet, create_r2plus1d_10, create_r2plus1d_18
from stica_pv.models.video_vit import VideoTransformer, create_vit_b_16, create_vit_l_16, create_vit_s_16

__all__ = [
    "STANDARD_INPUTS",
    "AudioResNet",
    "AudioResNetV2",
    "AudioTransformer",
    "AveragePool",
    "FeatureCrop",
    "GroupBatchNorm",
    "MLPHead",
    "MapSize",
    "Maps",
    "NetTrunk",
    "Pooling",
    "Predictor",
    "ProjectionHead",
    "Projector",
    "STiCAHead",
    "TSMResNet",
    "TransformerPool",
    "Trunk",
    "VideoResNet",
    "VideoTransformer",
    "as_list",
    "boxes_of",
    "check_token_drop",
    "create_ast_b",
    "create_ast_s",
    "create_audio_resnet9",
    "create_audio_resnet14_v2",
    "create_audio_resnet18",
    "create_audio_resnet50_v2",
    "create_average_pool",
    "create_backbone",
    "create_projection_head",
    "create_r2plus1d_10",
    "create_r2plus1d_18",
    "create_stica_head",
    "create_transformer_pool",
    "create_tsm_resnet14",
    "create_tsm_resnet50",
    "create_vit_b_16",
    "create_vit_l_16",
    "create_vit_s_16",
    "join_pathways",
    "keep_computed",
    "measure_map",
    "measure_pathways",
    "plan_crops",
    "same_window",
    "sample_boxes",
    "sample_kept",
    "trunk_from_source",
    "trunk_of",
    "whole_map",
]
