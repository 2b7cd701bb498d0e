from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from planted_features import ones, planted

from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.retrieval import Knn, Retrieval, class_mean_metric
from stica_pv.evaluation.requests import FeatureRequest

VIEWS = FeatureRequest()
COSINE = Retrieval("retrieval", VIEWS, VIEWS, "cosine")
SELAVI = Retrieval("retrieval_selavi", replace(VIEWS, layer="map_max"), replace(VIEWS, layer="map_max"), "euclidean")


def scores(protocol: Retrieval | Knn, gallery: FeatureSet, queries: FeatureSet) -> dict[str, float]:
    return {m.name: m.value for m in protocol.score({"video": gallery}, {"video": queries}, seed=0)}


def test_names_state_every_setting():
    assert COSINE.name == "retrieval (pooled video, 10 fixed views, L2 -> mean -> L2, cosine)"
    released = replace(SELAVI, train=replace(SELAVI.train, transform="random_crop"))
    assert released.name == (
        "retrieval_selavi (map_max video, 10 random_crop -> 10 fixed views, L2 -> mean, euclidean)"
    )
    assert Knn(VIEWS, VIEWS, 5, "plain").name.endswith("cosine, k 5, plain votes)")


def test_selavi_compares_means_of_unit_vectors_that_are_not_of_unit_length():
    """Clips that disagree give short means, which lie near to everything; cosine does not see it."""
    gallery = FeatureSet(torch.tensor([[[0.1, 0.05]], [[0.0, 1.0]]]), torch.tensor([0, 1]), torch.arange(2))
    query = FeatureSet(torch.tensor([[[0.5, 0.5]]]), torch.tensor([0]), torch.arange(1))
    near_in_angle = F.cosine_similarity(gallery.features[:, 0], query.features[0])
    near = (gallery.features[:, 0] - query.features[0]).norm(dim=1)
    assert near_in_angle[0] > near_in_angle[1]
    assert near[0] < near[1]
    gallery.features[0] *= -1
    assert scores(COSINE, gallery, query)["R@1"] == 0.0
    gallery = FeatureSet(torch.tensor([[[0.9, -0.1]], [[0.2, 0.2]]]), torch.tensor([0, 1]), torch.arange(2))
    assert scores(COSINE, gallery, query)["R@1"] == 0.0  # the second has the same direction
    far = FeatureSet(torch.tensor([[[0.9, 0.3]], [[0.1, 0.1]]]), torch.tensor([0, 1]), torch.arange(2))
    assert scores(COSINE, far, query)["R@1"] == 0.0
    assert scores(SELAVI, far, query)["R@1"] == 100.0


def test_map_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    gallery, queries = planted(96, 0, spread=0.5), planted(40, 1, spread=0.5)
    similarity = F.normalize(queries.features[:, 0], dim=1) @ F.normalize(gallery.features[:, 0], dim=1).mT
    each = [
        metrics.average_precision_score(gallery.labels == label, row)
        for row, label in zip(similarity, queries.labels, strict=True)
    ]
    found = scores(COSINE, gallery, queries)
    assert found["mAP"] == pytest.approx(100 * sum(each) / 40)
    by_class = [torch.tensor(each)[queries.labels == label].mean() for label in range(8)]
    assert found["mAP by class"] == pytest.approx(100 * float(torch.stack(by_class).mean()))


def test_classes_of_any_size_count_alike_in_map_by_class():
    metric = class_mean_metric("x", torch.tensor([100.0, 100.0, 100.0, 0.0]), torch.tensor([3, 3, 3, 7]))
    assert metric.value == 50.0
    assert metric.statistic(torch.tensor([[1.0, 0, 0, 0]]).double()).tolist() == [100.0]  # class 7 was not drawn
    assert float(metric.statistic(ones(4))) == 50.0


def test_a_class_outside_the_gallery_is_never_found():
    gallery, queries = planted(16, 0, classes=4), planted(32, 1)
    found = scores(COSINE, gallery, queries)
    assert found["R@50"] == found["R@1"] == 50.0
    assert found["mAP"] == pytest.approx(50.0)
    assert scores(Knn(VIEWS, VIEWS, 3, "weighted"), gallery, queries)["top1"] == 50.0


def test_views_that_were_not_averaged_are_refused():
    with pytest.raises(ValueError, match=r"expected the mean over views \(V, 1, D\), got \(8, 3, 16\)"):
        scores(COSINE, planted(8, 0, views=3), planted(8, 1))


def test_items_of_several_labels_are_refused_with_a_hint():
    items = planted(8, 0)
    multi = FeatureSet(items.features, F.one_hot(items.labels, 8).bool(), items.groups)
    for protocol in (COSINE, Knn(VIEWS, VIEWS, 3, "weighted")):
        with pytest.raises(UsageError, match="needs one label per item.*audio_mlp"):
            scores(protocol, multi, multi)
