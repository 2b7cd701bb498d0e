"""Runs several evaluations: features of all of them in as few passes over the files as possible, then each."""

import logging
from collections.abc import Sequence
from typing import Protocol

from stica_pv.distributed import is_main
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.feature_evaluation import FeatureEvaluation
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.protocols.single_frame import SingleFrame
from stica_pv.evaluation.results import Results

logger = logging.getLogger(__name__)


class Evaluation(Protocol):
    """One entry of TEST.EVALUATIONS. Registered in EVALUATIONS is a builder, from the configuration to this.

    Attributes:
        name: Registered name.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    def run(self, context: EvaluationContext) -> list[Row]:
        """Runs on every process of the run; the main one's rows count, the others may return none."""


def run_evaluations(evaluations: Sequence[Evaluation], context: EvaluationContext) -> Results:
    """Runs every evaluation, on all processes; the main process' results are complete.

    Those that train networks come first, since they keep all processes busy; the main process alone scores features.
    """
    on_features = [e for e in evaluations if isinstance(e, FeatureEvaluation | SingleFrame)]
    rows: dict[str, list[Row]] = {e.name: e.run(context) for e in evaluations if e not in on_features}
    extract_features([want for evaluation in on_features for want in evaluation.wants(context)], context)
    for evaluation in on_features:
        if is_main():
            logger.info("scoring %s", evaluation.name)
        rows[evaluation.name] = evaluation.run(context)
    trained = [model.name for model in context.models if model.kind == "trained"]
    chance = None if context.labeled.multi_label else 100 / len(context.labeled.labels.unique())
    return Results([row for evaluation in evaluations for row in rows[evaluation.name]], trained, chance)
