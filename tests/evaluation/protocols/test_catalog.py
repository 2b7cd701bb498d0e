"""What holds for every protocol on frozen features, each built from the configuration under its registered name."""

from typing import Any

import pytest
import torch
from planted_features import mixed_labels, planted

from stica_pv.config import apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_evaluation import FeatureEvaluation
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocol import FeatureProtocol
from stica_pv.registry import EVALUATIONS

pytest.importorskip("sklearn")

TRAINED = ("linear", "linear_plain", "few_shot", "svm", "svm_brave", "audio_mlp")
PROTOCOLS = ("retrieval", "retrieval_selavi", "knn", *TRAINED)
CHANCE = 100 / 8
QUICK = (
    *("NUM_GPUS", "0", "TEST.LINEAR.EPOCHS", "40", "TEST.FEW_SHOT.SHOTS", "[1, 5]", "TEST.FEW_SHOT.DRAWS", "3"),
    *("TEST.AUDIO_MLP.HIDDEN_DIM", "32", "TEST.AUDIO_MLP.BATCH_SIZE", "32", "TEST.AUDIO_MLP.LR", "0.03"),
)


def create(name: str, *overrides: str) -> FeatureProtocol:
    cfg = get_cfg()
    apply_overrides(cfg, [*QUICK, *overrides])
    evaluation = EVALUATIONS.get(name)(cfg)
    assert isinstance(evaluation, FeatureEvaluation)
    assert evaluation.name == name
    return evaluation.protocol


def views_for(protocol: FeatureProtocol) -> int:
    (request,) = protocol.test_requests().values()
    return 1 if request.average else 3


def score(protocol: FeatureProtocol, train: FeatureSet, test: FeatureSet, *, seed: int = 0) -> dict[str, float]:
    (modality,) = protocol.test_requests()
    return {m.name: m.value for m in protocol.score({modality: train}, {modality: test}, seed=seed)}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_perfect_features_give_full_marks(name: str):
    protocol = create(name)
    views = views_for(protocol)
    found = score(protocol, planted(128, 0, views=views), planted(48, 1, views=views))
    accuracies = {key: value for key, value in found.items() if key != "d_prime" and not key.endswith("std")}
    assert list(accuracies.values()) == pytest.approx([100.0] * len(accuracies)), found


@pytest.mark.parametrize("name", PROTOCOLS)
def test_shuffled_labels_give_chance(name: str):
    protocol = create(name)
    views = views_for(protocol)
    train = mixed_labels(planted(400, 0, spread=0.7, views=views, siblings=1))
    found = score(protocol, train, planted(800, 1, spread=0.7, views=views))
    first = next(iter(found.values()))
    assert CHANCE - 6 < first < CHANCE + 6, found


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_order_of_the_test_items_means_nothing(name: str):
    protocol = create(name)
    views = views_for(protocol)
    train, test = planted(128, 0, spread=0.6, views=views), planted(48, 1, spread=0.6, views=views)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(3))
    assert score(protocol, train, test.rows(order)) == pytest.approx(score(protocol, train, test))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_equal_seeds_give_equal_numbers(name: str):
    protocol = create(name)
    views = views_for(protocol)
    train, test = planted(96, 0, spread=0.6, views=views), planted(48, 1, spread=0.6, views=views)
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append(score(protocol, train, test, seed=7))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", TRAINED)
def test_nothing_of_the_test_reaches_what_is_fitted_or_chosen(name: str, monkeypatch: pytest.MonkeyPatch):
    """The fitted classifiers are the same tensors whatever the features, labels, sources and number of test items."""
    protocol = create(name)
    views = views_for(protocol)
    train, test = planted(128, 0, spread=0.6, views=views), planted(48, 1, spread=0.6, views=views)
    rng = torch.Generator().manual_seed(5)
    other = FeatureSet(
        1e3 * torch.randn(20, views, 16, generator=rng), torch.randint(12, (20,), generator=rng), torch.zeros(20).long()
    )
    fitted: list[Any] = []
    real = type(protocol).fit  # type: ignore[attr-defined]

    def watched(self: Any, *args: Any, **settings: Any) -> Any:
        fitted.append(real(self, *args, **settings))
        return fitted[-1]

    monkeypatch.setattr(type(protocol), "fit", watched)
    if name == "audio_mlp":
        other = FeatureSet(other.features, other.labels % 8, other.groups)
    score(protocol, train, test)
    before = [weights_of(classifier) for classifier in fitted]
    fitted.clear()
    score(protocol, train, other)
    after = [weights_of(classifier) for classifier in fitted]
    assert len(before) == len(after) == (6 if name == "few_shot" else 1)
    for first, second in zip(before, after, strict=True):
        # exact: the same code with the same shapes, twice
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("name", "choose"), [("svm", "choose_cost"), ("linear_plain", "choose_lr")])
def test_the_choice_does_not_move_with_the_test(name: str, choose: str, monkeypatch: pytest.MonkeyPatch):
    protocol = create(name)
    train = planted(128, 0, spread=0.6, views=3)
    chosen: list[float] = []
    real = getattr(type(protocol), choose)

    def watched(self: Any, *args: Any, **settings: Any) -> float:
        chosen.append(real(self, *args, **settings))
        return chosen[-1]

    monkeypatch.setattr(type(protocol), choose, watched)
    for seed in (1, 2):
        score(protocol, train, mixed_labels(planted(48, seed, spread=seed, views=3)))
    assert len(chosen) == 2
    assert chosen[0] == chosen[1]


def weights_of(classifier: Any) -> list[torch.Tensor]:
    if isinstance(classifier, torch.nn.Module):
        return list(classifier.state_dict().values())
    return [value for value in vars(classifier).values() if isinstance(value, torch.Tensor)]


def test_names_are_unique_and_change_with_every_setting_that_changes_a_number():
    names = {create(name).name for name in (*PROTOCOLS, "cross_modal")}
    assert len(names) == len(PROTOCOLS) + 1
    changes = {
        "retrieval": ("TEST.LAYER map", "TEST.MODALITY audio", "TEST.NUM_ENSEMBLE_VIEWS 3", "TEST.TRANSFORM released"),
        "retrieval_selavi": ("TEST.TRAIN_TRANSFORM random_crop", "TEST.TRAIN_CLIPS 2"),
        "knn": ("TEST.KNN_K 3", "TEST.KNN_VOTES plain", "TEST.NUM_SPATIAL_CROPS 3"),
        "linear": (
            "TEST.LINEAR.LR 1",
            "TEST.LINEAR.EPOCHS 9",
            "TEST.LINEAR.BATCH_SIZE 8",
            "TEST.LINEAR.WEIGHT_DECAY 0.1",
        ),
        "linear_plain": ("TEST.LINEAR.LRS [1]", "TEST.HOLDOUT_SHARE 0.3"),
        "few_shot": ("TEST.FEW_SHOT.CLASSIFIER logistic", "TEST.FEW_SHOT.C 2", "TEST.FEW_SHOT.DRAWS 7"),
        "svm": ("TEST.SVM.C [1]", "TEST.SVM.STANDARDIZE False", "TEST.HOLDOUT_SHARE 0.3"),
        "audio_mlp": (
            *("TEST.AUDIO_MLP.HIDDEN_DIM 8", "TEST.AUDIO_MLP.LR 1", "TEST.AUDIO_MLP.EPOCHS 2"),
            *("TEST.AUDIO_MLP.BATCH_SIZE 4", "TEST.AUDIO_MLP.WEIGHT_DECAY 0.1"),
        ),
        "cross_modal": ("TEST.NUM_ENSEMBLE_VIEWS 1", "TEST.NUM_SPATIAL_CROPS 3", "TEST.TRANSFORM released"),
    }
    for name, settings in changes.items():
        found = {create(name, *setting.split(" ", 1)).name for setting in settings}
        assert len(found | {create(name).name}) == len(settings) + 1, name


def test_quirks_are_settings_and_both_sides_are_alike_without_them():
    clean, selavi = create("retrieval"), create("retrieval_selavi", "TEST.TRAIN_TRANSFORM", "random_crop")
    assert clean.train_requests() == clean.test_requests()
    assert (clean.test_requests()["video"].clips, clean.test_requests()["video"].transform) == (10, "fixed")
    assert selavi.train_requests()["video"].transform == "random_crop"
    assert selavi.test_requests()["video"].layer == "map_max"


@pytest.mark.parametrize(
    ("name", "key"), [("linear_plain", "LINEAR.LRS"), ("svm", "SVM.C"), ("few_shot", "FEW_SHOT.SHOTS")]
)
def test_an_empty_list_is_refused(name: str, key: str):
    with pytest.raises(UsageError, match=rf"TEST\.{key}: expected at least one value, got \[\]"):
        create(name, f"TEST.{key}", "[]")
