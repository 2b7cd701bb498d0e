"""What the protocols ask to be extracted, from the keys of TEST."""

from stica_pv.config import CfgNode
from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.requests import FeatureRequest

AS_TEST = "as_test"


def request_for_test(cfg: CfgNode, *, average: bool) -> FeatureRequest:
    """Views of a test item: TEST.NUM_ENSEMBLE_VIEWS clips by TEST.NUM_SPATIAL_CROPS crops through TEST.TRANSFORM."""
    return FeatureRequest(
        modality=cfg.TEST.MODALITY,
        layer=cfg.TEST.LAYER,
        clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        spatial_crops=cfg.TEST.NUM_SPATIAL_CROPS,
        transform=cfg.TEST.TRANSFORM,
        average=average,
    )


def request_for_training(cfg: CfgNode, *, average: bool) -> FeatureRequest:
    """Views of a training item: as in the test, unless TEST.TRAIN_CLIPS or TEST.TRAIN_TRANSFORM say else.

    A classifier that takes its views one by one (`average` False) gets one crop of a clip, the center; a mean over
    views takes the crops of the test.
    """
    return FeatureRequest(
        modality=cfg.TEST.MODALITY,
        layer=cfg.TEST.LAYER,
        clips=cfg.TEST.TRAIN_CLIPS or cfg.TEST.NUM_ENSEMBLE_VIEWS,
        spatial_crops=cfg.TEST.NUM_SPATIAL_CROPS if average else 1,
        transform=cfg.TEST.TRANSFORM if cfg.TEST.TRAIN_TRANSFORM == AS_TEST else cfg.TEST.TRAIN_TRANSFORM,
        average=average,
    )


def describe_views(train: FeatureRequest, test: FeatureRequest) -> str:
    """Names layer, modality and views: ``pooled video, 10 fixed views`` or ``…, 3 random_crop -> 30 fixed views``."""
    seen = f"{test.views} {test.transform}"
    if (train.views, train.transform) != (test.views, test.transform):
        seen = f"{train.views} {train.transform} -> {seen}"
    return f"{test.layer} {test.modality}, {seen} view{'s' * (test.views > 1)}"


def one_label_each(items: FeatureSet, evaluation: str) -> FeatureSet:
    """Returns `items`, which have one label each.

    Raises:
        UsageError: They may have several.
    """
    if items.labels.ndim != 1:
        raise UsageError(
            f"{evaluation} needs one label for each item, and this data set gives several: use audio_mlp or cross_modal"
        )
    return items
