"""Run one protocol on features: every model on every fold, random initialization at its best.

Trained encoders are scored with one declared feature normalization. Random initialization is scored with each one, with
batch-norm statistics as they are and re-estimated; the best of the six is reported for each number, since one seed
varies by 20 points between them. Baselines are standardized.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.distributed import is_main
from stica_pv.errors import UsageError
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.label_sources import split_by_source
from stica_pv.evaluation.metrics import Metric, bootstrap_interval, pooled
from stica_pv.evaluation.normalization import FEATURE_NORMS, process
from stica_pv.evaluation.protocol import MEAN, DescribedProtocol, FeatureProtocol, Row
from stica_pv.evaluation.requests import MAPS, Requests
from stica_pv.evaluation.views import size_of
from stica_pv.progress import Progress

OWN = "-"  # the protocol declares its own normalization
BASELINE_PROCESSING = "standardized"
BEST_OF = ("as it is", "re-estimated")  # batch-norm statistics of random initialization


@dataclass(frozen=True)
class Scored:
    """One metric of one model over the folds.

    Attributes:
        model: Name of the model in the results.
        processing: Normalization of the features.
        folds: Metric on each fold.
        groups: Sources of the test items of each fold.
    """

    model: str
    processing: str
    folds: tuple[Metric, ...]
    groups: tuple[Tensor, ...]

    @property
    def mean(self) -> Metric:
        """The mean over folds."""
        return pooled(self.folds)


@dataclass(frozen=True)
class FeatureEvaluation:
    """An evaluation that is one protocol on features; see `create_feature_evaluation`.

    Attributes:
        name: Registered name.
        protocol: Protocol to run.
        processing: Feature normalization of trained encoders.
        seed: Seed of the run.
    """

    name: str
    protocol: FeatureProtocol
    processing: str
    seed: int

    def feature_jobs(self, context: EvaluationContext) -> list[FeatureJob]:
        """Return all features that `run` needs."""
        return feature_jobs_of(self.protocol, self._models(context), context)

    def run(self, context: EvaluationContext) -> list[Row]:
        """Score all models on the main process; the features must be extracted."""
        if not is_main():
            return []
        found: list[Scored] = []
        models = self._models(context)
        tries = sum(len(self._random_norms()) if model.kind == "random" else 1 for model in models)
        with Progress(f"scoring {self.name}", tries, unit="tries", delay_s=0.0) as progress:
            for model in models:
                if model.kind != "random":
                    how = self.processing if model.kind == "trained" else BASELINE_PROCESSING
                    found += self.score(context, model, how)
                    progress.add()
            for name in dict.fromkeys(model.name for model in models if model.kind == "random"):
                found += self._best_random(context, [model for model in models if model.name == name], progress)
        return rows_of(self.name, self.protocol, found, context, seed=self.seed)

    def _models(self, context: EvaluationContext) -> list[EvaluatedModel]:
        """Return the models that have the features of the protocol."""
        return [model for model in context.models if all(map(model.offers, requests_of(self.protocol)))]

    def _random_norms(self) -> Sequence[str]:
        """Return the feature normalizations to try on random initialization."""
        return FEATURE_NORMS if self.protocol.processed else (OWN,)

    def _best_random(
        self, context: EvaluationContext, same: Iterable[EvaluatedModel], progress: Progress
    ) -> list[Scored]:
        """Return the best of each metric, with the metrics paired with it."""
        tries = []
        for model in same:
            for how in self._random_norms():
                tries.append(self.score(context, model, how))
                progress.add()
        return best_of(tries)

    def score(self, context: EvaluationContext, model: EvaluatedModel, how: str) -> list[Scored]:
        """Score one model with one feature normalization: each metric over all folds."""
        how = how if self.protocol.processed else OWN
        by_fold = []
        for fold in context.labeled.folds:
            train = _features(context, model, self.protocol.train_requests(), fold.train)
            test = _features(context, model, self.protocol.test_requests(), fold.test)
            by_fold.append(score_fold(self.protocol, train, test, how, seed=self.seed))
        processing = f"{how}, {BEST_OF[model.reestimate]}" if model.kind == "random" else how
        return scored_of(model.name, processing, by_fold, [fold.test for fold in context.labeled.folds], context)


def scored_of(
    model: str,
    processing: str,
    by_fold: Sequence[Sequence[Metric]],
    items: Sequence[Tensor],
    context: EvaluationContext,
) -> list[Scored]:
    """Return the metrics of a model over the folds, also split by the source of labels where it is known.

    A part without a test item in one of the folds is left out, for all models alike.

    Args:
        model: Name of the model.
        processing: Normalization of the features.
        by_fold: Metrics of each fold, over its items.
        items: Test items of each fold, int64 (V,).
        context: Context of the evaluation.
    """
    labeled = context.labeled
    split = [
        {
            metric.name: (metric, labeled.groups[own[rows]])
            for metric, rows in split_by_source(metrics, labeled.labels[own], labeled.label_sources)
        }
        for metrics, own in zip(by_fold, items, strict=True)
    ]
    names = [name for name in split[0] if all(name in fold for fold in split)]
    return [
        Scored(model, processing, tuple(fold[name][0] for fold in split), tuple(fold[name][1] for fold in split))
        for name in names
    ]


def best_of(tries: Sequence[Sequence[Scored]]) -> list[Scored]:
    """Return the best of several scores of each metric, with the metrics paired with it."""
    by_name = [{scored.folds[0].name: scored for scored in found} for found in tries]
    leads = {name: scored.folds[0].paired_with or name for name, scored in by_name[0].items()}
    best = {lead: max(by_name, key=partial(_value, lead)) for lead in dict.fromkeys(leads.values())}
    return [best[lead][name] for name, lead in leads.items()]


def _value(name: str, found: Mapping[str, Scored]) -> float:
    return found[name].mean.value


def create_feature_evaluation(cfg: CfgNode, name: str, protocol: FeatureProtocol) -> FeatureEvaluation:
    """Return the evaluation of a protocol, for builders in EVALUATIONS."""
    return FeatureEvaluation(name, protocol, processing=cfg.TEST.FEATURE_NORM, seed=cfg.RNG_SEED)


def requests_of(protocol: FeatureProtocol) -> list:  # type: ignore[type-arg]
    """Return all requests of a protocol."""
    return [*protocol.train_requests().values(), *protocol.test_requests().values()]


def feature_jobs_of(
    protocol: FeatureProtocol, models: Iterable[EvaluatedModel], context: EvaluationContext
) -> list[FeatureJob]:
    """Return the features of a protocol: training requests of all training items, test requests of all test items.

    Raises:
        UsageError: The protocol compares maps of different sizes.
    """
    models = list(models)
    for model in models:
        _check_sizes(protocol, model)
    folds = context.labeled.folds
    sides = (
        (protocol.train_requests(), torch.cat([fold.train for fold in folds]).unique()),
        (protocol.test_requests(), torch.cat([fold.test for fold in folds]).unique()),
    )
    return [
        FeatureJob(model, request, items)
        for model in models
        for requests, items in sides
        for request in requests.values()
    ]


def _check_sizes(protocol: FeatureProtocol, model: EvaluatedModel) -> None:
    pairs = ((request, protocol.test_requests().get(name)) for name, request in protocol.train_requests().items())
    for train, test in pairs:
        if test is None or train.modality != "video" or train.layer not in MAPS:
            continue
        sizes = size_of(train, model.clip_format), size_of(test, model.clip_format)
        if sizes[0] != sizes[1]:
            raise UsageError(
                f"maps of {train.transform} views of {sizes[0]} px and of {test.transform} views of {sizes[1]} px "
                f"differ in size and cannot be compared: set TEST.TRAIN_TRANSFORM {test.transform}, or "
                f"DATA.TEST_CROP_SIZE {sizes[0]}"
            )


def _features(
    context: EvaluationContext, model: EvaluatedModel, requests: Requests, items: Tensor
) -> dict[str, FeatureSet]:
    return {modality: context.features(model, request, items) for modality, request in requests.items()}


def score_fold(
    protocol: FeatureProtocol, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], how: str, *, seed: int
) -> list[Metric]:
    """Normalize features and score them; items without features are excluded from training and wrong in the test."""
    train, (test, readable) = _readable(train)[0], _readable(test)
    if how != OWN:
        moved = {modality: process(train.get(modality, test[modality]), test[modality], how) for modality in test}
        train = {modality: first for modality, (first, _) in moved.items()}
        test = {modality: second for modality, (_, second) in moved.items()}
    metrics = protocol.score(train, test, seed=seed)
    return list(metrics) if bool(readable.all()) else [counting_as_wrong(metric, readable) for metric in metrics]


def _readable(sets: Mapping[str, FeatureSet]) -> tuple[dict[str, FeatureSet], Tensor]:
    """Exclude items that are unreadable in one of the modalities; also return the mask of readable ones."""
    masks = [~items.features.isnan().flatten(1).any(dim=1) for items in sets.values()]
    mask = torch.stack(masks).all(dim=0)
    return {modality: items.rows(mask) for modality, items in sets.items()}, mask


def counting_as_wrong(metric: Metric, readable: Tensor) -> Metric:
    """Extend a metric of the readable items, mask (V,), to all items: the others score 0."""

    def statistic(weights: Tensor) -> Tensor:
        known = weights[:, readable]
        return (metric.statistic(known) * known.sum(dim=1) / weights.sum(dim=1)).nan_to_num(0.0)

    def of_classes(chosen: Tensor) -> Metric:
        assert metric.of_classes is not None
        return counting_as_wrong(metric.of_classes(chosen), readable)

    return replace(metric, statistic=statistic, items=len(readable), of_classes=metric.of_classes and of_classes)


def rows_of(
    evaluation: str, protocol: DescribedProtocol, found: Iterable[Scored], context: EvaluationContext, *, seed: int
) -> list[Row]:
    """Return the rows of results of each fold, and of their mean if there are several."""
    labeled = context.labeled
    views = " + ".join(
        f"{r.clips} x {r.spatial_crops}" if r.modality == "video" else f"{r.clips} windows"
        for r in protocol.test_requests().values()
    )
    rows = []
    for scored in found:
        parts = [
            (fold.name, metric, groups)
            for fold, metric, groups in zip(labeled.folds, scored.folds, scored.groups, strict=True)
        ]
        if len(parts) > 1:
            parts.append((MEAN, scored.mean, torch.cat(scored.groups)))
        for fold, metric, groups in parts:
            low, high = bootstrap_interval(metric, groups, seed=seed)
            rows.append(
                Row(
                    evaluation=evaluation,
                    protocol=protocol.name,
                    metric=metric.name,
                    model=scored.model,
                    processing=scored.processing,
                    dataset=labeled.name,
                    dataset_hash=labeled.hash,
                    fold=fold,
                    value=metric.value,
                    low=low,
                    high=high,
                    n=metric.items,
                    groups=len(groups.unique()),
                    views=views,
                )
            )
    return rows
