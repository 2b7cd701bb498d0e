"""Runs one protocol on features: every contestant on every fold, random initialisation at its best.

Trained encoders are scored under one declared processing. Random initialisation is scored under each processing, with
batch-norm statistics as they are and re-estimated, and the best of the six is reported for each number by itself: one
seed moves by 20 points between them. Baselines are standardised.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.distributed import is_main
from stica_pv.errors import UsageError
from stica_pv.evaluation.context import Bench, Want
from stica_pv.evaluation.evaluated_model import Contestant
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Measure, bootstrap_interval, pooled
from stica_pv.evaluation.normalization import PROCESSINGS, process
from stica_pv.evaluation.protocol import MEAN, DescribedProtocol, FeatureProtocol, Row
from stica_pv.evaluation.requests import MAPS, Requests
from stica_pv.evaluation.views import size_of

OWN = "-"  # the protocol declares its own processing
BASELINE_PROCESSING = "standardised"
BEST_OF = ("as it is", "re-estimated")  # batch-norm statistics of random initialisation


@dataclass(frozen=True)
class Scored:
    """One measure of one contestant over the folds.

    Attributes:
        contestant: Its name in the results.
        processing: What was done to the features.
        folds: The measure on each fold.
        groups: Sources of the test items of each fold.
    """

    contestant: str
    processing: str
    folds: tuple[Measure, ...]
    groups: tuple[Tensor, ...]

    @property
    def mean(self) -> Measure:
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

    def wants(self, bench: Bench) -> list[Want]:
        """Everything that `run` will ask for."""
        return wants_of(self.protocol, self._players(bench), bench)

    def run(self, bench: Bench) -> list[Row]:
        """Scores all contestants, on the main process; the features are there."""
        if not is_main():
            return []
        found: list[Scored] = []
        players = self._players(bench)
        for contestant in players:
            if contestant.kind != "random":
                how = self.processing if contestant.kind == "trained" else BASELINE_PROCESSING
                found += self.score(bench, contestant, how)
        for name in dict.fromkeys(contestant.name for contestant in players if contestant.kind == "random"):
            found += self._best_random(bench, [contestant for contestant in players if contestant.name == name])
        return rows_of(self.name, self.protocol, found, bench, seed=self.seed)

    def _players(self, bench: Bench) -> list[Contestant]:
        """The contestants that have what the protocol asks for."""
        return [c for c in bench.contestants if all(map(c.offers, requests_of(self.protocol)))]

    def _best_random(self, bench: Bench, same: Iterable[Contestant]) -> list[Scored]:
        """The best of each number by itself, and what stands beside it."""
        tries = [
            {scored.folds[0].name: scored for scored in self.score(bench, contestant, how)}
            for contestant in same
            for how in (PROCESSINGS if self.protocol.processed else (OWN,))
        ]
        leads = {name: scored.folds[0].beside or name for name, scored in tries[0].items()}
        best = {lead: max(tries, key=partial(_value, lead)) for lead in dict.fromkeys(leads.values())}
        return [best[lead][name] for name, lead in leads.items()]

    def score(self, bench: Bench, contestant: Contestant, how: str) -> list[Scored]:
        """Scores one contestant under one processing: each measure over all folds."""
        how = how if self.protocol.processed else OWN
        by_fold, groups = [], []
        for fold in bench.labelled.folds:
            train = _features(bench, contestant, self.protocol.train_requests(), fold.train)
            test = _features(bench, contestant, self.protocol.test_requests(), fold.test)
            by_fold.append(score_fold(self.protocol, train, test, how, seed=self.seed))
            groups.append(bench.labelled.groups[fold.test])
        words = f"{how}, {BEST_OF[contestant.reestimate]}" if contestant.kind == "random" else how
        return [Scored(contestant.name, words, measures, tuple(groups)) for measures in zip(*by_fold, strict=True)]


def _value(name: str, found: Mapping[str, Scored]) -> float:
    return found[name].mean.value


def create_feature_evaluation(cfg: CfgNode, name: str, protocol: FeatureProtocol) -> FeatureEvaluation:
    """Returns the evaluation of a protocol; what a builder in EVALUATIONS returns."""
    return FeatureEvaluation(name, protocol, processing=cfg.TEST.PROCESSING, seed=cfg.RNG_SEED)


def requests_of(protocol: FeatureProtocol) -> list:  # type: ignore[type-arg]
    """All requests of a protocol."""
    return [*protocol.train_requests().values(), *protocol.test_requests().values()]


def wants_of(protocol: FeatureProtocol, contestants: Iterable[Contestant], bench: Bench) -> list[Want]:
    """What a protocol will ask for: training requests of all training items, test requests of all test items.

    Raises:
        UsageError: It compares maps of pictures of different sizes.
    """
    contestants = list(contestants)
    for contestant in contestants:
        _check_sizes(protocol, contestant)
    folds = bench.labelled.folds
    sides = (
        (protocol.train_requests(), torch.cat([fold.train for fold in folds]).unique()),
        (protocol.test_requests(), torch.cat([fold.test for fold in folds]).unique()),
    )
    return [
        Want(contestant, request, items)
        for contestant in contestants
        for requests, items in sides
        for request in requests.values()
    ]


def _check_sizes(protocol: FeatureProtocol, contestant: Contestant) -> None:
    pairs = ((request, protocol.test_requests().get(name)) for name, request in protocol.train_requests().items())
    for train, test in pairs:
        if test is None or train.modality != "video" or train.layer not in MAPS:
            continue
        sizes = size_of(train, contestant.look), size_of(test, contestant.look)
        if sizes[0] != sizes[1]:
            raise UsageError(
                f"maps of {train.transform} views of {sizes[0]} px and of {test.transform} views of {sizes[1]} px "
                f"differ in size and cannot be compared: set TEST.TRAIN_TRANSFORM {test.transform}, or "
                f"DATA.TEST_CROP_SIZE {sizes[0]}"
            )


def _features(bench: Bench, contestant: Contestant, requests: Requests, items: Tensor) -> dict[str, FeatureSet]:
    return {modality: bench.features(contestant, request, items) for modality, request in requests.items()}


def score_fold(
    protocol: FeatureProtocol, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], how: str, *, seed: int
) -> list[Measure]:
    """Processes features and scores them. Items without features are no training, and wrong in the test."""
    train, (test, readable) = _readable(train)[0], _readable(test)
    if how != OWN:
        moved = {modality: process(train.get(modality, test[modality]), test[modality], how) for modality in test}
        train = {modality: first for modality, (first, _) in moved.items()}
        test = {modality: second for modality, (_, second) in moved.items()}
    measures = protocol.score(train, test, seed=seed)
    return list(measures) if bool(readable.all()) else [counting_as_wrong(measure, readable) for measure in measures]


def _readable(sets: Mapping[str, FeatureSet]) -> tuple[dict[str, FeatureSet], Tensor]:
    """Leaves out the items that could not be read in one of the modalities; also a mask of those that could."""
    masks = [~items.features.isnan().flatten(1).any(dim=1) for items in sets.values()]
    mask = torch.stack(masks).all(dim=0)
    return {modality: items.rows(mask) for modality, items in sets.items()}, mask


def counting_as_wrong(measure: Measure, readable: Tensor) -> Measure:
    """Extends a measure of the readable items to all, (V,) of which `readable` says which: the others score 0."""

    def statistic(weights: Tensor) -> Tensor:
        known = weights[:, readable]
        return (measure.statistic(known) * known.sum(dim=1) / weights.sum(dim=1)).nan_to_num(0.0)

    return replace(measure, statistic=statistic, items=len(readable))


def rows_of(
    evaluation: str, protocol: DescribedProtocol, found: Iterable[Scored], bench: Bench, *, seed: int
) -> list[Row]:
    """Rows of results: of each fold, and of the mean where there are several."""
    labelled = bench.labelled
    views = " + ".join(
        f"{r.clips} x {r.spatial_crops}" if r.modality == "video" else f"{r.clips} windows"
        for r in protocol.test_requests().values()
    )
    rows = []
    for scored in found:
        parts = [
            (fold.name, measure, groups)
            for fold, measure, groups in zip(labelled.folds, scored.folds, scored.groups, strict=True)
        ]
        if len(parts) > 1:
            parts.append((MEAN, scored.mean, torch.cat(scored.groups)))
        for fold, measure, groups in parts:
            low, high = bootstrap_interval(measure, groups, seed=seed)
            rows.append(
                Row(
                    evaluation=evaluation,
                    protocol=protocol.name,
                    measure=measure.name,
                    contestant=scored.contestant,
                    processing=scored.processing,
                    dataset=labelled.name,
                    dataset_hash=labelled.hash,
                    fold=fold,
                    value=measure.value,
                    low=low,
                    high=high,
                    n=measure.items,
                    groups=len(groups.unique()),
                    views=views,
                )
            )
    return rows
