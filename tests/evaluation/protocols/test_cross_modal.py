import math

import pytest
import torch
import torch.nn.functional as F
from planted_features import DIM, planted, several

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.cross_modal import CrossModal, chance_of_a_hit, cross_hits

PROTOCOL = CrossModal(clips=10, spatial_crops=1, transform="fixed")


def pair(count: int = 64, *, spread: float = 0.0, seed: int = 0) -> tuple[FeatureSet, FeatureSet]:
    """Returns two modalities of items that are each unlike all others but for `spread`."""
    items = planted(count, seed)
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 1, DIM, generator=rng)
    other = rows + spread * torch.randn(count, 1, DIM, generator=rng)
    return FeatureSet(rows, items.labels, items.groups), FeatureSet(other, items.labels, items.groups)


def slow_hits(queries: FeatureSet, gallery: FeatureSet, k: int) -> dict[str, list[bool]]:
    """Written out, item by item."""
    found: dict[str, list[bool]] = {"R": [], "by group": [], "same class": []}
    x, y = (F.normalize(part.features[:, 0], dim=1) for part in (queries, gallery))
    for i in range(len(queries)):
        order = sorted(range(len(gallery)), key=lambda j: -float(x[i] @ y[j]))
        found["R"].append(i in order[:k])
        found["by group"].append(any(gallery.groups[j] == queries.groups[i] for j in order[:k]))
        others = [j for j in order if gallery.groups[j] != queries.groups[i]]
        found["same class"].append(any(gallery.labels[j] == queries.labels[i] for j in others[:k]))
    return found


@pytest.mark.parametrize("k", [1, 5])
def test_hits_are_those_written_out(k: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stica_pv.evaluation.protocols.neighbors.CHUNK_ELEMENTS", 64 * 10)
    video, audio = pair(spread=1.5)
    found, expected = cross_hits(video, audio, (k,)), slow_hits(video, audio, k)
    assert found[f"R@{k}"].bool().tolist() == expected["R"]
    assert found[f"R@{k} by group"].bool().tolist() == expected["by group"]
    assert found[f"R@{k} same class"].bool().tolist() == expected["same class"]
    assert 0.2 < found[f"R@{k}"].mean() < 0.95


def test_chance_is_what_random_features_hit():
    hits: dict[str, list[float]] = {}
    for seed in range(30):
        video, unrelated = pair(seed=seed)[0], pair(seed=seed + 100)[1]
        for name, per_item in cross_hits(video, unrelated, (1, 5)).items():
            hits.setdefault(name, []).append(float(per_item.mean()))
    mean = {name: sum(values) / len(values) for name, values in hits.items()}
    for name in ("R@1", "R@5", "R@5 by group", "R@5 same class", "R@1 same class"):
        assert mean[name] == pytest.approx(mean[f"chance {name}"], abs=0.03), name


def test_chance_of_a_hit_in_small_cases():
    def chance(items: int, relevant: int, k: int) -> float:
        return float(chance_of_a_hit(torch.tensor([items]), torch.tensor([relevant]), k))

    assert chance(10, 1, 1) == pytest.approx(0.1)
    assert chance(10, 1, 5) == pytest.approx(0.5)
    assert chance(10, 3, 2) == pytest.approx(1 - math.comb(7, 2) / math.comb(10, 2))
    assert chance(10, 8, 3) == 1.0
    assert chance(10, 0, 3) == 0.0
    assert chance(2, 2, 5) == 1.0
    assert chance(0, 0, 1) == 0.0


def test_features_that_agree_find_themselves_in_both_directions():
    video, audio = pair()
    found = {m.name: m.value for m in PROTOCOL.score({}, {"video": video, "audio": audio}, seed=0)}
    for direction in ("video_to_audio", "audio_to_video"):
        assert found[f"{direction}/R@1"] == found[f"{direction}/R@1 by group"] == 100.0
        assert found[f"{direction}/chance R@1"] == pytest.approx(100 / 64)
        assert found[f"{direction}/chance R@1 by group"] == pytest.approx(100 * 4 / 64)
        assert found[f"{direction}/chance R@1 same class"] == pytest.approx(100 * 4 / 60)
        assert found[f"{direction}/R@1 same class"] < 30


def test_the_two_directions_are_not_the_same():
    video, audio = pair(spread=1.0)
    audio.features[0] = 5 * audio.features.mean(dim=0) + 0.1  # near to many
    found = {m.name: m.value for m in PROTOCOL.score({}, {"video": video, "audio": audio}, seed=0)}
    assert found["video_to_audio/R@1"] != found["audio_to_video/R@1"]


def test_a_sibling_is_a_hit_by_group_and_never_one_of_class():
    labels, groups = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 1])
    rows = torch.eye(4)[[1, 0, 3, 2]].unsqueeze(1)  # each finds its sibling
    found = cross_hits(FeatureSet(torch.eye(4).unsqueeze(1), labels, groups), FeatureSet(rows, labels, groups), (1,))
    assert found["R@1"].tolist() == [0.0] * 4
    assert found["R@1 by group"].tolist() == [1.0] * 4
    # exact: small whole numbers, which floats hold
    assert found["R@1 same class"].tolist() == found["chance R@1 same class"].tolist() == [0.0] * 4


def test_items_of_several_labels_share_a_class_if_one_is_common():
    video, audio = pair()
    found = cross_hits(several(video), several(audio), (1,))
    assert float(found["chance R@1 same class"].mean()) > float(
        cross_hits(video, audio, (1,))["chance R@1 same class"].mean()
    )


def test_as_many_as_there_are_always_hit_and_are_left_out():
    video, audio = pair(8)
    assert {name for name in cross_hits(video, audio, (1, 5, 8, 50)) if "chance" not in name} == {
        f"R@{k}{kind}" for k in (1, 5) for kind in ("", " by group", " same class")
    }


def test_features_of_different_size_are_refused():
    video, audio = pair()
    with pytest.raises(ValueError, match="equal shape"):
        cross_hits(video, FeatureSet(audio.features[..., :3], audio.labels, audio.groups), (1,))


def test_both_modalities_are_asked_for_projected():
    requests = PROTOCOL.test_requests()
    assert set(requests) == {"video", "audio"} == set(PROTOCOL.train_requests())
    assert {request.layer for request in requests.values()} == {"projected"}
    assert PROTOCOL.name == "cross_modal (projected, 10 fixed views, L2 -> mean -> L2, cosine)"
