"""Feature requests of the protocols, from the keys of TEST."""

from stica_pv.config import CfgNode
from stica_pv.evaluation.requests import BOTH, FeatureRequest, Modality

AS_TEST = "as_test"


def request_for_test(cfg: CfgNode, *, average: bool) -> FeatureRequest:
    """Return the request for test items from TEST.NUM_ENSEMBLE_VIEWS, TEST.NUM_SPATIAL_CROPS and TEST.TRANSFORM."""
    return FeatureRequest(
        modality=_modality(cfg),
        layer=cfg.TEST.LAYER,
        clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        spatial_crops=cfg.TEST.NUM_SPATIAL_CROPS,
        transform=cfg.TEST.TRANSFORM,
        average=average,
    )


def request_for_training(cfg: CfgNode, *, average: bool) -> FeatureRequest:
    """Return the request for training items: as in the test, unless TEST.TRAIN_CLIPS or TEST.TRAIN_TRANSFORM differ.

    A classifier on single views (`average` False) gets the center crop of a clip; a mean over views uses the crops of
    the test.
    """
    return FeatureRequest(
        modality=_modality(cfg),
        layer=cfg.TEST.LAYER,
        clips=cfg.TEST.TRAIN_CLIPS or cfg.TEST.NUM_ENSEMBLE_VIEWS,
        spatial_crops=cfg.TEST.NUM_SPATIAL_CROPS if average else 1,
        transform=cfg.TEST.TRANSFORM if cfg.TEST.TRAIN_TRANSFORM == AS_TEST else cfg.TEST.TRAIN_TRANSFORM,
        average=average,
    )


def _modality(cfg: CfgNode) -> Modality:
    """Return the modality of a request; for both, that of the frames, and `Joint` adds the audio."""
    modality: Modality = "video" if cfg.TEST.MODALITY == BOTH else cfg.TEST.MODALITY
    return modality


def describe_views(train: FeatureRequest, test: FeatureRequest) -> str:
    """Describe layer, modality and views: ``pooled video, 10 fixed views``, ``…, 3 random_crop -> 30 fixed views``."""
    views = f"{test.views} {test.transform}"
    if (train.views, train.transform) != (test.views, test.transform):
        views = f"{train.views} {train.transform} -> {views}"
    return f"{test.layer} {test.modality}, {views} view{'s' * (test.views > 1)}"
