"""Synchrony of frames and audio: own moment among the moments of a clip, offset in ms, own audio among all clips."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.distributed import is_main
from stica_pv.errors import UsageError
from stica_pv.evaluation.baselines import MOTION, LoudnessEnvelope, MotionEnvelope
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluated_model import EvaluatedModel, content_hash
from stica_pv.evaluation.feature_evaluation import BEST_OF, OWN, Scored, best_of, rows_of, scored_of
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric, mean_metric
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.protocols.cross_modal import DIRECTIONS, cross_hits
from stica_pv.evaluation.protocols.synchrony_scores import (
    median_metric,
    moment_hits,
    moment_similarity,
    offset_errors_ms,
    offset_hits,
    other_sources,
    shift_scores,
    shift_sizes_ms,
)
from stica_pv.evaluation.requests import MODALITIES, FeatureRequest, Requests
from stica_pv.registry import EVALUATIONS

logger = logging.getLogger(__name__)

NAME = "synchrony"
TOLERANCES_MS = (40, 100)  # one frame at 25 fps is the practice of lip synchronization
CLIP_RECALLS = (1, 5)


@dataclass(frozen=True)
class Synchrony:
    """Scores of the projected vectors of simultaneous and shifted windows.

    Attributes:
        moments: Number of moments of an item, from its first frame on.
        step_seconds: Distance of the moments.
        max_shift: Largest shift of the audio in steps.
        seed: Seed of the run.
        name: Registered name.
    """

    moments: int
    step_seconds: float
    max_shift: int
    seed: int
    name: str = NAME

    def feature_jobs(self, context: EvaluationContext) -> list[FeatureJob]:
        """Return both modalities of every model with a projection, and of the baseline."""
        tests = self._tests(context)
        for fold, items in zip(context.labeled.folds, tests, strict=True):
            if len(items) < len(fold.test):
                text = "%s: %d of %d test items of fold %s are too short for all moments and are left out"
                logger.info(text, self.name, len(fold.test) - len(items), len(fold.test), fold.name)
        items = torch.cat(tests).unique()
        return [
            FeatureJob(model, request, items)
            for model in self._models(context)
            for request in self.test_requests().values()
        ]

    def run(self, context: EvaluationContext) -> list[Row]:
        """Score them on the main process."""
        if not is_main():
            return []
        found: list[Scored] = []
        models = self._models(context)
        for name in dict.fromkeys(model.name for model in models):
            found += best_of([self._score(context, model) for model in models if model.name == name])
        described = Described(self._protocol_name(), self.test_requests())
        return rows_of(self.name, described, found, context, seed=self.seed)

    def test_requests(self) -> Requests:
        """Return the moments in both modalities."""
        return {
            modality: FeatureRequest(
                modality=modality,
                layer="projected",
                clips=self.moments,
                step_seconds=self.step_seconds,
                average=False,
            )
            for modality in MODALITIES
        }

    def metrics(self, video: FeatureSet, audio: FeatureSet) -> list[Metric]:
        """Return all metrics of test items, the unreadable ones (NaN in one of the modalities) as bad as possible."""
        rows = torch.cat([video.features, audio.features], dim=2)
        readable = ~rows.isnan().flatten(1).any(dim=1)
        video, audio = video.rows(readable), audio.rows(readable)
        if len(video) < 2:
            raise UsageError(f"{self.name} needs at least two readable test items, got {len(video)}")
        partner = other_sources(video.groups)
        similarity = {
            "": moment_similarity(video.features, audio.features),
            "shuffled ": moment_similarity(video.features, audio.features[partner]),
        }
        return [
            *self._moment_metrics(similarity, readable),
            *self._offset_metrics(similarity, readable),
            *self._clip_metrics(video, audio, readable),
        ]

    def _moment_metrics(self, similarity: Mapping[str, Tensor], readable: Tensor) -> list[Metric]:
        found = []
        for query, gallery in DIRECTIONS:
            prefix = f"moment/{query}_to_{gallery}"
            for control, values in similarity.items():
                hits = 100 * moment_hits(values if query == "video" else values.mT)
                metric = mean_metric(f"{prefix}/{control}R@1", filled(hits, readable, 0.0))
                found.append(replace(metric, paired_with=f"{prefix}/R@1" if control else ""))
            found.append(self._chance(f"{prefix}/chance R@1", 100 / self.moments, readable))
        return found

    def _offset_metrics(self, similarity: Mapping[str, Tensor], readable: Tensor) -> list[Metric]:
        scores = {control: shift_scores(values, self.max_shift) for control, values in similarity.items()}
        sizes = shift_sizes_ms(self.max_shift, self.step_seconds)
        found = []
        for tolerance in TOLERANCES_MS:
            name = f"within {tolerance} ms"
            for control, values in scores.items():
                hits = 100 * offset_hits(values, self.step_seconds, tolerance)
                metric = mean_metric(f"offset/{control}{name}", filled(hits, readable, 0.0))
                found.append(replace(metric, paired_with=f"offset/{name}" if control else ""))
            even = torch.zeros(1, len(sizes), dtype=torch.float64)  # all shifts are equally good
            chance = 100 * float(offset_hits(even, self.step_seconds, tolerance))
            found.append(self._chance(f"offset/chance {name}", chance, readable))
        lead = f"offset/within {TOLERANCES_MS[-1]} ms"  # of an error, the largest value would not be the best
        for control, values in scores.items():
            errors = filled(offset_errors_ms(values, self.step_seconds), readable, float(sizes.max()))
            found.append(median_metric(f"offset/{control}median error ms", errors, paired_with=lead))
        found.append(self._chance("offset/chance median error ms", float(sizes.median()), readable))
        return found

    def _clip_metrics(self, video: FeatureSet, audio: FeatureSet, readable: Tensor) -> list[Metric]:
        sets = {"video": averaged(video), "audio": averaged(audio)}
        return [
            mean_metric(f"clip/{query}_to_{gallery}/{name}", filled(100 * per_item, readable, 0.0))
            for query, gallery in DIRECTIONS
            for name, per_item in cross_hits(sets[query], sets[gallery], CLIP_RECALLS).items()
            if not name.endswith(("by group", "same class"))
        ]

    def _chance(self, name: str, value: float, readable: Tensor) -> Metric:
        return mean_metric(name, torch.full((len(readable),), value, dtype=torch.float64))

    def _protocol_name(self) -> str:
        return (
            f"{self.name} (projected, {self.moments} moments every {self.step_seconds:g} s, shifts up to "
            f"{self.max_shift}, fixed views, L2, cosine)"
        )

    def _models(self, context: EvaluationContext) -> list[EvaluatedModel]:
        own = [model for model in context.models if all(map(model.offers, self.test_requests().values()))]
        return own + baselines_of(own)

    def _score(self, context: EvaluationContext, model: EvaluatedModel) -> list[Scored]:
        by_fold, tests = [], self._tests(context)
        for items in tests:
            sets = {name: context.features(model, request, items) for name, request in self.test_requests().items()}
            by_fold.append(self.metrics(sets["video"], sets["audio"]))
        processing = f"{OWN}, {BEST_OF[model.reestimate]}" if model.kind == "random" else OWN
        return scored_of(model.name, processing, by_fold, tests, context)

    def _tests(self, context: EvaluationContext) -> list[Tensor]:
        """Return the test items of each fold that are long enough for the windows of all models.

        Items without video or audio stay: they are unreadable, not short.
        """
        formats = [model.clip_format for model in self._models(context)]
        longest = {"video": [one.seconds for one in formats], "audio": [one.audio_seconds for one in formats]}
        last_s = (self.moments - 1) * self.step_seconds
        short = torch.zeros(len(context.labeled), dtype=torch.bool)
        for modality in MODALITIES:
            length_s = torch.tensor(context.durations_s(modality), dtype=torch.float64)
            short |= (length_s > 0) & (length_s < last_s + max(longest[modality], default=0.0) - 1e-3)
        tests = [fold.test[~short[fold.test]] for fold in context.labeled.folds]
        for fold, items in zip(context.labeled.folds, tests, strict=True):
            if len(items) < 2:
                raise UsageError(
                    f"{self.name}: {len(items)} of {len(fold.test)} test items of fold {fold.name} are long enough for "
                    f"{self.moments} moments every {self.step_seconds:g} s, expected at least 2: lower "
                    "TEST.SYNCHRONY.MOMENTS or TEST.SYNCHRONY.STEP_SECONDS"
                )
        return tests


@dataclass(frozen=True)
class Described:
    """Name and views of the protocol, for its rows.

    Attributes:
        name: Exact name.
        requests: Views of the test items.
    """

    name: str
    requests: Requests

    def test_requests(self) -> Requests:
        """Return the views of the test items."""
        return self.requests


def baselines_of(models: list[EvaluatedModel]) -> list[EvaluatedModel]:
    """Return the correlation of motion and loudness as a model, on the clips of the first one; none for stills."""
    if not models or models[0].clip_format.frames < 3:
        return []
    clip_format = models[0].clip_format
    loudness = LoudnessEnvelope(
        frames=clip_format.frames, fps=clip_format.fps, sample_rate_hz=clip_format.audio_rate_hz
    )
    encoders = {"video": MotionEnvelope(), "audio": loudness}
    settings = f"{loudness.intervals} {loudness.samples}"
    return [EvaluatedModel(MOTION, "baseline", encoders, clip_format, content_hash(encoders, settings))]


def averaged(items: FeatureSet) -> FeatureSet:
    """Return the mean over views of unit rows, (V, 1, D)."""
    return replace(items, features=F.normalize(items.features, dim=2).mean(dim=1, keepdim=True))


def filled(values: Tensor, readable: Tensor, worst: float) -> Tensor:
    """Return the values of all items, float64 (V,): those of the readable ones, mask (V,), and `worst` for others."""
    found = torch.full((len(readable),), worst, dtype=torch.float64)
    found[readable] = values.double()
    return found


@EVALUATIONS.named(NAME)
def synchrony_from_config(cfg: CfgNode) -> Synchrony:
    """Build it from TEST.SYNCHRONY, whatever TEST.LAYER, TEST.MODALITY and the views of the test are."""
    keys = cfg.TEST.SYNCHRONY
    if keys.MOMENTS <= 2 * keys.MAX_SHIFT:
        raise UsageError(
            f"TEST.SYNCHRONY.MOMENTS {keys.MOMENTS}: shifts up to TEST.SYNCHRONY.MAX_SHIFT {keys.MAX_SHIFT} need at "
            f"least {2 * keys.MAX_SHIFT + 1} moments; raise MOMENTS or lower MAX_SHIFT"
        )
    return Synchrony(keys.MOMENTS, keys.STEP_SECONDS, keys.MAX_SHIFT, cfg.RNG_SEED)
