from typing import Any

import pytest
import torch

from stica_pv.config import apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.one_modality import OneModality
from stica_pv.evaluation.protocols.requests import describe_views, request_for_test, request_for_training


def configured(*overrides: str) -> Any:
    cfg = get_cfg()
    apply_overrides(cfg, list(overrides))
    return cfg


@pytest.mark.parametrize("average", [True, False])
def test_training_items_are_seen_as_test_items(average: bool):
    cfg = configured("TEST.NUM_ENSEMBLE_VIEWS", "4", "TEST.TRANSFORM", "released", "TEST.LAYER", "map")
    assert request_for_training(cfg, average=average) == request_for_test(cfg, average=average)


def test_single_views_of_training_items_have_one_crop_and_means_have_those_of_the_test():
    cfg = configured("TEST.NUM_SPATIAL_CROPS", "3", "TEST.TRAIN_CLIPS", "2", "TEST.TRAIN_TRANSFORM", "augmented")
    single, mean = (request_for_training(cfg, average=average) for average in (False, True))
    assert (single.views, single.transform, single.average) == (2, "augmented", False)
    assert (mean.views, mean.transform, mean.average) == (6, "augmented", True)
    test = request_for_test(cfg, average=False)
    assert (test.views, test.transform) == (30, "fixed")
    assert describe_views(single, test) == "pooled video, 2 augmented -> 30 fixed views"


def test_crops_mean_nothing_to_audio():
    cfg = configured("TEST.NUM_SPATIAL_CROPS", "3", "TEST.MODALITY", "audio", "TEST.NUM_ENSEMBLE_VIEWS", "1")
    test = request_for_test(cfg, average=True)
    assert describe_views(test, test) == "pooled audio, 1 fixed view"


def test_several_labels_are_refused_where_one_is_needed():
    items = {"video": FeatureSet(torch.zeros(2, 1, 3), torch.zeros(2, 5, dtype=torch.bool), torch.arange(2))}
    protocol = OneModality()
    protocol.train = protocol.test = request_for_test(configured(), average=True)
    with pytest.raises(UsageError, match="knn needs one label per item.*audio_mlp or cross_modal"):
        protocol.single_label_sets(items, items, "knn")
