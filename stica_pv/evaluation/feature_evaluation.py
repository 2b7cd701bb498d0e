"""Runs one protocol on features: every model on every fold, random initialization at its best.

Trained encoders are scored under one declared processing. Random initialization is scored under each processing, with
batch-norm statistics as they are and re-estimated, and the best of the six is reported for each number by itself: one
seed moves by 20 points between them. Baselines are standardized.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.distributed import is_main
from stica_pv.errors import UsageError
from stica_pv.evaluation.context import EvaluationContext, Want
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric, bootstrap_interval, pooled
from stica_pv.evaluation.normalization import FEATURE_NORMS, process
from stica_pv.evaluation.protocol import MEAN, DescribedProtocol, FeatureProtocol, Row
from stica_pv.evaluation.requests import MAPS, Requests
from stica_pv.evaluation.views import size_of

OWN = "-"  # the protocol declares its own processing
BASELINE_PROCESSING = "standardized"
BEST_OF = ("as it is", "re-estimated")  # batch-norm statistics of random initialization


@dataclass(frozen=True)
class Scored:
    """One measure of one model over the folds.

    Attributes:
        model: Its name in the results.
        processing: What was done to the features.
        folds: The measure on each fold.
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
        protocol: What is measured.
        processing: Declared for trained encoders.
        seed: Of the run.
    """

    name: str
    protocol: FeatureProtocol
    processing: str
    seed: int

    def wants(self, context: EvaluationContext) -> list[Want]:
        """Everything that `run` will ask for."""
        return wants_of(self.protocol, self._players(context), context)

    def run(self, context: EvaluationContext) -> list[Row]:
        """Scores all models, on the main process; the features are there."""
        if not is_main():
            return []
        found: list[Scored] = []
        players = self._players(context)
        for model in players:
            if model.kind != "random":
                how = self.processing if model.kind == "trained" else BASELINE_PROCESSING
                found += self.score(context, model, how)
        for name in dict.fromkeys(model.name for model in players if model.kind == "random"):
            found += self._best_random(context, [model for model in players if model.name == name])
        return rows_of(self.name, self.protocol, found, context, seed=self.seed)

    def _players(self, context: EvaluationContext) -> list[EvaluatedModel]:
        """The models that have what the protocol asks for."""
        return [c for c in context.models if all(map(c.offers, requests_of(self.protocol)))]

    def _best_random(self, context: EvaluationContext, same: Iterable[EvaluatedModel]) -> list[Scored]:
        """The best of each number by itself, and what stands beside it."""
        tries = [
            {scored.folds[0].name: scored for scored in self.score(context, model, how)}
            for model in same
            for how in (FEATURE_NORMS if self.protocol.processed else (OWN,))
        ]
        leads = {name: scored.folds[0].paired_with or name for name, scored in tries[0].items()}
        best = {lead: max(tries, key=partial(_value, lead)) for lead in dict.fromkeys(leads.values())}
        return [best[lead][name] for name, lead in leads.items()]

    def score(self, context: EvaluationContext, model: EvaluatedModel, how: str) -> list[Scored]:
        """Scores one model under one processing: each measure over all folds."""
        how = how if self.protocol.processed else OWN
        by_fold, groups = [], []
        for fold in context.labeled.folds:
            train = _features(context, model, self.protocol.train_requests(), fold.train)
            test = _features(context, model, self.protocol.test_requests(), fold.test)
            by_fold.append(score_fold(self.protocol, train, test, how, seed=self.seed))
            groups.append(context.labeled.groups[fold.test])
        words = f"{how}, {BEST_OF[model.reestimate]}" if model.kind == "random" else how
        return [Scored(model.name, words, metrics, tuple(groups)) for metrics in zip(*by_fold, strict=True)]


def _value(name: str, found: Mapping[str, Scored]) -> float:
    return found[name].mean.value


def create_feature_evaluation(cfg: CfgNode, name: str, protocol: FeatureProtocol) -> FeatureEvaluation:
    """Returns the evaluation of a protocol; what a builder in EVALUATIONS returns."""
    return FeatureEvaluation(name, protocol, processing=cfg.TEST.FEATURE_NORM, seed=cfg.RNG_SEED)


def requests_of(protocol: FeatureProtocol) -> list:  # type: ignore[type-arg]
    """All requests of a protocol."""
    return [*protocol.train_requests().values(), *protocol.test_requests().values()]


def wants_of(protocol: FeatureProtocol, models: Iterable[EvaluatedModel], context: EvaluationContext) -> list[Want]:
    """What a protocol will ask for: training requests of all training items, test requests of all test items.

    Raises:
        UsageError: It compares maps of frames of different sizes.
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
        Want(model, request, items) for model in models for requests, items in sides for request in requests.values()
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
    """Processes features and scores them. Items without features are no training, and wrong in the test."""
    train, (test, readable) = _readable(train)[0], _readable(test)
    if how != OWN:
        moved = {modality: process(train.get(modality, test[modality]), test[modality], how) for modality in test}
        train = {modality: first for modality, (first, _) in moved.items()}
        test = {modality: second for modality, (_, second) in moved.items()}
    metrics = protocol.score(train, test, seed=seed)
    return list(metrics) if bool(readable.all()) else [counting_as_wrong(metric, readable) for metric in metrics]


def _readable(sets: Mapping[str, FeatureSet]) -> tuple[dict[str, FeatureSet], Tensor]:
    """Leaves out the items that could not be read in one of the modalities; also a mask of those that could."""
    masks = [~items.features.isnan().flatten(1).any(dim=1) for items in sets.values()]
    mask = torch.stack(masks).all(dim=0)
    return {modality: items.rows(mask) for modality, items in sets.items()}, mask


def counting_as_wrong(metric: Metric, readable: Tensor) -> Metric:
    """Extends a measure of the readable items to all, (V,) of which `readable` says which: the others score 0."""

    def statistic(weights: Tensor) -> Tensor:
        known = weights[:, readable]
        return (metric.statistic(known) * known.sum(dim=1) / weights.sum(dim=1)).nan_to_num(0.0)

    return replace(metric, statistic=statistic, items=len(readable))


def rows_of(
    evaluation: str, protocol: DescribedProtocol, found: Iterable[Scored], context: EvaluationContext, *, seed: int
) -> list[Row]:
    """Rows of results: of each fold, and of the mean where there are several."""
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
