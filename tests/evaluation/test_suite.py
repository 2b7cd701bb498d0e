from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from made_videos import CLIP_FORMAT, FakeReader, Noise, Planted, labeled_set, made_context, model, numbers_in
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.defaults import get_cfg
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_evaluation import FeatureEvaluation
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.protocols.retrieval import Knn, Retrieval
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.suite import Evaluation, run_evaluations
from stica_pv.registry import EVALUATIONS
from stica_pv.tasks.encoders import Encoder

REQUEST = FeatureRequest(clips=2)


def evaluations() -> list[Evaluation]:
    protocols = Retrieval("retrieval", REQUEST, REQUEST, "cosine"), Knn(REQUEST, REQUEST, 1, "plain")
    return [FeatureEvaluation(name, p, "raw", 0) for name, p in zip(("retrieval", "knn"), protocols, strict=True)]


@dataclass
class Trainer:
    """Trains networks, so to speak."""

    order: list[str] = field(default_factory=list)
    name: str = "trainer"

    def feature_jobs(self, context: EvaluationContext) -> list[FeatureJob]:
        return []

    def run(self, context: EvaluationContext) -> list[Row]:
        self.order.append("files read" if (context.folder / "features").exists() else "nothing read yet")
        return []


def run(folder: Path, found: Sequence[Evaluation], **settings: object) -> dict[str, float]:
    models = [model("trained", Planted(3)), model("random_init", Noise(), "random")]
    return run_evaluations(found, made_context(folder, models, **settings)).flat()  # type: ignore[arg-type]


def test_several_evaluations_share_one_pass_over_the_files(tmp_path: Path):
    reader = FakeReader()
    numbers = run(tmp_path, evaluations(), reader=reader)
    assert len(reader.paths) == 24
    assert numbers["retrieval/R@1"] == numbers["knn/top1"] == 100.0
    assert numbers["retrieval/R@1/random_init"] < 100
    assert numbers["chance/top1"] == pytest.approx(100 / 3)


def test_what_trains_networks_comes_first(tmp_path: Path):
    trainer = Trainer()
    run(tmp_path, [*evaluations(), trainer])
    assert trainer.order == ["nothing read yet"]


def test_sets_of_several_labels_have_no_chance(tmp_path: Path):
    labels = torch.eye(3, dtype=torch.bool)[torch.arange(24) % 3]
    assert run(tmp_path, [], labeled=labeled_set(labels=labels)) == {}


@pytest.fixture
def cfg() -> CfgNode:
    cfg = get_cfg()
    cfg.TEST.NUM_ENSEMBLE_VIEWS = 2
    return cfg


def test_single_frame_shows_what_pixels_and_stills_give_away(tmp_path: Path, cfg: CfgNode):
    models = [model("trained", Planted(3)), model("random_init", Noise(), "random")]
    labeled = labeled_set(48, siblings=2)
    results = run_evaluations([EVALUATIONS.get("single_frame")(cfg)], made_context(tmp_path, models, labeled))
    numbers = results.flat()
    assert numbers["single_frame/encoder/R@1"] == 100.0
    assert "single_frame/linear/top1" in numbers
    assert not [key for key in numbers if "random_init" in key]
    assert any("16 x 16 pixels of the middle frame" in row.protocol for row in results.rows)


@dataclass
class OwnEvaluation:
    """A user's evaluation, derived from nothing of ours: it declares its features and scores them."""

    name: str = "own"

    def feature_jobs(self, context: EvaluationContext) -> list[FeatureJob]:
        return [FeatureJob(context.models[0], REQUEST, context.labeled.folds[0].test)]

    def run(self, context: EvaluationContext) -> list[Row]:
        (job,) = self.feature_jobs(context)
        mean = float(context.features(job.model, job.request, job.items).features.mean())
        return [Row("own", "own (mean)", "mean", "trained", "raw", "made", "0", "test", mean, mean, mean, 8, 8, "2")]


def test_features_of_a_users_evaluation_are_extracted_in_the_same_pass(tmp_path: Path):
    reader = FakeReader()
    numbers = run(tmp_path, [*evaluations(), OwnEvaluation()], reader=reader)
    assert len(reader.paths) == 24
    assert "own/mean" in numbers


class Counted(Encoder):
    """Answers by the class of a video, as a map and as a vector, and records the clips of each pass."""

    offers = ("map", "pooled")
    passes: ClassVar[list[tuple[str, int]]] = []  # of all copies

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Maps frames (B, 3, T, H, W) or audio (B, S) to the named layers, with 4 cells of 16 channels."""
        is_video = x.ndim == 5
        self.passes.append(("video" if is_video else "audio", len(x)))
        numbers = numbers_in(x) if is_video else (100 * x.mean(dim=1)).round().long()
        vectors = torch.nn.functional.one_hot(numbers % 3, 16).float()
        shape = (4, 1, 1) if is_video else (4, 1)
        return {"map": vectors.view(-1, 16, *[1] * len(shape)).expand(-1, -1, *shape), "pooled": vectors}


def test_all_protocols_of_both_modalities_share_one_extraction(tmp_path: Path, cfg: CfgNode):
    cfg.TEST.MODALITY, cfg.TEST.FEW_SHOT.DRAWS, cfg.TEST.FEW_SHOT.SHOTS = "video+audio", 1, [2]
    cfg.TEST.LINEAR.EPOCHS, cfg.TEST.LINEAR.LRS, cfg.TEST.SVM.C, cfg.TEST.KNN_K = 10, [1.0], [1.0], 3
    keys = cfg.TEST.ATTENTIVE
    keys.DEPTH, keys.HEADS, keys.EPOCHS, keys.LRS, keys.WEIGHT_DECAYS = 1, 2, 1, [3e-3], [0.01]
    names = ("retrieval", "knn", "linear", "linear_plain", "few_shot", "svm", "attentive")
    encoders = {"video": Counted(), "audio": Counted()}
    models = [EvaluatedModel("trained", "trained", encoders, CLIP_FORMAT, "0")]
    reader, again = FakeReader(), FakeReader()
    Counted.passes.clear()
    for files in (reader, again):
        found = [EVALUATIONS.get(name)(cfg) for name in names]
        numbers = run_evaluations(found, made_context(tmp_path, models, reader=files)).flat()
    assert sorted(reader.paths) == sorted(2 * [f"{i}.mp4" for i in range(24)])  # frames, and audio
    clips = {name: sum(count for kind, count in Counted.passes if kind == name) for name in encoders}
    assert clips == {"video": 24 * 2, "audio": 24 * 2}  # two clips of each, once through the network
    assert again.paths == []
    for part in ("video", "audio", "concatenated", "summed"):
        assert numbers[f"knn/{part} top1"] == numbers[f"retrieval/{part} R@1"] == 100.0
    assert {f"attentive/{part} top1" for part in ("video", "audio", "both")} <= numbers.keys()
