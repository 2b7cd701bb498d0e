"""Fine-tuning as an evaluation: train trunk and pooling head on the labels of a fold, and test on its test list.

Every trained encoder is fine-tuned, and random initialization by the same recipe, which is training from scratch. The
last epoch is reported, and also the best one, which is chosen on the test list and named so.
"""

import hashlib
import logging
import re
from dataclasses import dataclass, replace

from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.data.sources.labeled import Fold
from stica_pv.distributed import is_main
from stica_pv.errors import UsageError
from stica_pv.evaluation.config import clip_format_from_config
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_evaluation import OWN, Scored, rows_of, scored_of
from stica_pv.evaluation.finetune.config import FinetuneSettings, exact_name, settings_from_config
from stica_pv.evaluation.finetune.fold import Scores, finetune_fold, hits
from stica_pv.evaluation.finetune.recipe import identity, in_folder, training_config
from stica_pv.evaluation.metrics import Metric, mean_metric
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.ranking import TOP
from stica_pv.evaluation.requests import BOTH, FeatureRequest, Requests
from stica_pv.registry import EVALUATIONS
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder

logger = logging.getLogger(__name__)

NAME = "finetune"
FOLDER = "finetune"
LAST, BEST = "last epoch", "best epoch, chosen on the test list"


@dataclass(frozen=True)
class FinetuneProtocol:
    """Description of the protocol in the rows.

    Attributes:
        name: Exact, unique name.
        request: Views of the test.
    """

    name: str
    request: FeatureRequest

    def test_requests(self) -> Requests:
        """Return the views of the test."""
        return {"video": self.request}


@dataclass(frozen=True)
class Finetune:
    """The evaluation; see `stica_pv.evaluation.suite.Evaluation`.

    Attributes:
        cfg: Configuration of the run.
        settings: Settings of the recipe.
        protocol: Description in the rows.
    """

    cfg: CfgNode
    settings: FinetuneSettings
    protocol: FinetuneProtocol
    name: str = NAME

    def feature_jobs(self, context: EvaluationContext) -> list[FeatureJob]:
        """Return nothing, since no features are stored."""
        return []

    def run(self, context: EvaluationContext) -> list[Row]:
        """Train and test every model on every fold, on all processes; return the rows on the main one."""
        if context.labeled.multi_label:
            raise UsageError(f"{NAME} needs one label per item, but {context.labeled.name} has several")
        models = [model for model in context.models if is_finetuned(model)]
        if not models:
            raise UsageError(f"{NAME}: none of the models has a video trunk with a pooling head")
        found = [
            scored
            for modality in self.settings.modalities
            for model in models
            if modality != BOTH or isinstance(model.encoders.get("audio"), AudioEncoder)
            for scored in self._score(context, model, modality)
        ]
        return rows_of(NAME, self.protocol, found, context, seed=self.settings.seed) if is_main() else []

    def _score(self, context: EvaluationContext, model: EvaluatedModel, modality: str) -> list[Scored]:
        folds = context.labeled.folds
        scores = [self._finetune(context, model, fold, modality) for fold in folds]
        if not is_main():
            return []
        labels = [context.labeled.labels[fold.test] for fold in folds]
        prefix = "" if len(self.settings.modalities) == 1 else "both " if modality == BOTH else f"{modality} "
        by_fold = [
            [replace(metric, name=f"{prefix}{metric.name}") for metric in metrics_of(*pair)]
            for pair in zip(scores, labels, strict=True)
        ]
        return scored_of(model.name, OWN, by_fold, [fold.test for fold in folds], context)

    def _finetune(self, context: EvaluationContext, model: EvaluatedModel, fold: Fold, modality: str) -> Scores:
        frames = self.settings.frames or model.clip_format.frames
        size = self.settings.size
        color = replace(model.clip_format.color, jitter_prob=self.settings.jitter_prob)
        clips = replace(model.clip_format, frames=frames, size=size, train_size=size, color=color)
        clips = replace(clips, audio_seconds=clips.seconds)  # as in training
        audio_keys = {"AUDIO.SAMPLE_RATE": clips.audio_rate_hz, **dict(model.audio_network)} if modality == BOTH else {}
        run = training_config(
            self.cfg,
            classes=len(context.labeled.class_names),
            clip_format=clips,
            networks=(*model.networks, *audio_keys.items()),
            modality=modality,
        )
        decides = (*identity(run), model.hash, context.labeled.hash)
        digest = hashlib.sha256(repr(decides).encode()).hexdigest()[:8]
        slug = re.sub(r"[^A-Za-z0-9.=,_-]+", "_", model.name)
        folder = context.folder / FOLDER / f"{slug}-{digest}" / f"fold{fold.name}"
        what = model.name, modality, fold.name, context.labeled.name
        logger.info("fine-tuning %s, %s, on fold %s of %s in %s", *what, folder)
        return finetune_fold(in_folder(run, folder), context, model, clips, fold, self.settings)


def is_finetuned(model: EvaluatedModel) -> bool:
    """Return whether a model is fine-tuned; random initialization only once, since its statistics are relearned."""
    return isinstance(model.encoders.get("video"), VideoEncoder) and not model.reestimate


def metrics_of(scores: Scores, labels: Tensor) -> list[Metric]:
    """Return top1 and top5 (with more than five classes) in % of the last epoch, and of the best one by top1.

    Args:
        scores: Scores by epoch (V, classes); NaN rows of unreadable items are wrong.
        labels: int64 (V,).
    """
    ranks = [k for k in TOP if k == 1 or k < next(iter(scores.values())).shape[1]]
    hit = {epoch: {k: hits(found, labels, k) for k in ranks} for epoch, found in scores.items()}
    last = max(hit)
    best = max(hit, key=lambda epoch: (float(hit[epoch][1].mean()), -epoch))  # the first of equals
    return [
        mean_metric(f"top{k} ({which})", hit[epoch][k]) for which, epoch in ((LAST, last), (BEST, best)) for k in ranks
    ]


@EVALUATIONS.named(NAME)
def finetune_from_config(cfg: CfgNode) -> Finetune:
    """Build fine-tuning from the keys of TEST.FINETUNE; raise early for invalid ones."""
    settings = settings_from_config(cfg)
    training_config(cfg, classes=2, clip_format=clip_format_from_config(cfg))
    return Finetune(cfg, settings, FinetuneProtocol(exact_name(cfg), settings.request))
