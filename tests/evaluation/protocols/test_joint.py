"""Frames and audio together, beside each alone."""

from dataclasses import replace

import pytest
import torch
from planted_features import planted

from stica_pv.defaults import get_cfg
from stica_pv.evaluation.feature_evaluation import FeatureEvaluation
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.catalog import audio_mlp, few_shot, knn, linear, retrieval, svm
from stica_pv.evaluation.protocols.joint import Joint

CLASSES = 8
BUILDERS = {"retrieval": retrieval, "knn": knn, "linear": linear, "svm": svm, "few_shot": few_shot}
Sets = dict[str, FeatureSet]


def evaluation_of(name: str, **keys: object) -> FeatureEvaluation:
    cfg = get_cfg()
    given: dict[str, object] = {"NUM_ENSEMBLE_VIEWS": 2, "KNN_K": 3, **keys}
    for key, value in given.items():
        cfg.TEST[key] = value
    cfg.TEST.LINEAR.EPOCHS, cfg.TEST.SVM.C = 20, [1.0]
    cfg.TEST.FEW_SHOT.DRAWS, cfg.TEST.FEW_SHOT.SHOTS = 1, [5]
    return BUILDERS[name](cfg)


def halves(count: int, seed: int, views: int) -> Sets:
    """Video that tells classes 0 to 3 from each other and the rest as one, audio that tells 4 to 7."""
    items = planted(count, seed, classes=CLASSES, spread=0.02, views=views)

    def of(known: torch.Tensor) -> FeatureSet:
        features = items.features.clone()
        unknown = ~torch.isin(items.labels, known)
        noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(seed + int(known[0])))
        features[unknown] = 1.0 + 0.05 * noise[unknown]
        return replace(items, features=features)

    return {"video": of(torch.arange(4)), "audio": of(torch.arange(4, 8))}


@pytest.mark.parametrize("name", BUILDERS)
def test_each_alone_scores_as_by_itself_and_together_they_know_all(name: str):
    views = 1 if name in ("retrieval", "knn", "few_shot") else 2
    train, test = halves(192, 0, views), halves(64, 1, views)
    joint = evaluation_of(name, MODALITY="video+audio").protocol
    assert isinstance(joint, Joint)
    found = {metric.name: metric.value for metric in joint.score(train, test, seed=0)}
    for modality in ("video", "audio"):
        alone = evaluation_of(name, MODALITY=modality).protocol
        for metric in alone.score({modality: train[modality]}, {modality: test[modality]}, seed=0):
            assert found[f"{modality} {metric.name}"] == pytest.approx(metric.value)
    first = {"retrieval": "R@1", "few_shot": "5-shot top1"}.get(name, "top1")
    assert found[f"concatenated {first}"] > 95
    assert max(found[f"video {first}"], found[f"audio {first}"]) < 75


def test_both_are_unit_vectors_before_they_are_joined_and_each_crop_gets_the_audio_of_its_clip():
    joint = evaluation_of("linear", MODALITY="video+audio", NUM_SPATIAL_CROPS=3).protocol
    assert isinstance(joint, Joint)
    sets = {"video": planted(8, 0, views=6), "audio": planted(8, 1, views=2)}
    parts = joint._parts(sets, sets)
    video, audio = (torch.nn.functional.normalize(sets[name].features, dim=2) for name in ("video", "audio"))
    for crop in range(6):
        expected = torch.cat([video[:, crop], audio[:, crop // 3]], dim=1)
        torch.testing.assert_close(parts["concatenated"][0].features[:, crop], expected)
        torch.testing.assert_close(parts["summed"][1].features[:, crop], video[:, crop] + audio[:, crop // 3])


def test_projected_features_are_also_queries_of_one_modality_among_sums():
    train, test = halves(192, 0, 1), halves(64, 1, 1)
    sums = evaluation_of("retrieval", MODALITY="video+audio", LAYER="projected").protocol.score(train, test, seed=0)
    assert {"video query R@1", "audio query R@1"} <= {metric.name for metric in sums}
    pooled = evaluation_of("retrieval", MODALITY="video+audio").protocol.score(train, test, seed=0)
    assert not any("query" in metric.name for metric in pooled)


def test_features_of_different_widths_are_concatenated_only(caplog: pytest.LogCaptureFixture):
    train, test = halves(64, 0, 1), halves(32, 1, 1)
    for sets in (train, test):
        sets["audio"] = replace(sets["audio"], features=sets["audio"].features[:, :, :12])
    found = evaluation_of("knn", MODALITY="video+audio").protocol.score(train, test, seed=0)
    assert not any("summed" in metric.name for metric in found)
    assert "no sum, since features of video and audio differ in width" in caplog.text


def test_requests_ask_for_as_many_windows_of_audio_as_of_frames():
    protocol = evaluation_of("linear", MODALITY="video+audio", TRAIN_CLIPS=4).protocol
    train, test = protocol.train_requests(), protocol.test_requests()
    assert (train["video"].clips, train["audio"].clips) == (4, 4)
    assert (test["video"].clips, test["audio"].clips) == (2, 2)
    cfg = get_cfg()
    cfg.TEST.MODALITY = "video+audio"
    assert set(audio_mlp(cfg).protocol.test_requests()) == {"audio"}
