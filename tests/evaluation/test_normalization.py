import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.normalization import process


def features(items: int, seed: int) -> FeatureSet:
    rows = 3 + 2 * torch.randn(items, 4, 5, generator=torch.Generator().manual_seed(seed))
    return FeatureSet(rows, torch.zeros(items, dtype=torch.int64), torch.arange(items))


TRAIN, TEST = features(30, 0), features(7, 1)


def test_raw_features_stay_as_they_are():
    assert process(TRAIN, TEST, "raw") == (TRAIN, TEST)


def test_both_sides_are_moved_by_the_statistics_of_the_training_rows_alone():
    rows = TRAIN.features.flatten(0, 1)
    train, test = process(TRAIN, TEST, "centered")
    assert torch.allclose(test.features, TEST.features - rows.mean(dim=0))
    train, test = process(TRAIN, TEST, "standardized")
    assert torch.allclose(test.features, (TEST.features - rows.mean(dim=0)) / rows.std(dim=0))
    assert torch.allclose(train.features.flatten(0, 1).std(dim=0), torch.ones(5))
    other = process(TRAIN, features(9, 2), "standardized")[0]
    assert torch.equal(train.features, other.features)  # exact: the same code with the same shapes, twice


def test_a_constant_feature_is_no_division_by_zero():
    constant = FeatureSet(torch.ones(3, 1, 2), torch.zeros(3, dtype=torch.int64), torch.arange(3))
    # exact: small whole numbers, which floats hold
    assert torch.equal(process(constant, constant, "standardized")[1].features, torch.zeros(3, 1, 2))
    one = constant.rows(torch.tensor([0]))
    assert process(one, constant, "standardized")[1].features.isfinite().all()


def test_an_unknown_processing_is_named():
    with pytest.raises(UsageError, match=r"TEST\.FEATURE_NORM.*did you mean centered"):
        process(TRAIN, TEST, "centred")
