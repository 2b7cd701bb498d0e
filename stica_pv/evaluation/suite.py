"""Run several evaluations: extract all features in as few passes as possible, then score each."""

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
    """One entry of TEST.EVALUATIONS, built from the configuration by a function registered in EVALUATIONS.

    Attributes:
        name: Registered name.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    def run(self, context: EvaluationContext) -> list[Row]:
        """Run on every process; only the rows of the main process count."""


def run_evaluations(evaluations: Sequence[Evaluation], context: EvaluationContext) -> Results:
    """Run every evaluation on all processes; only the main process has complete results.

    Evaluations that train networks run first on all processes; then the main process alone scores features.
    """
    on_features = [e for e in evaluations if isinstance(e, FeatureEvaluation | SingleFrame)]
    rows: dict[str, list[Row]] = {e.name: e.run(context) for e in evaluations if e not in on_features}
    extract_features([job for evaluation in on_features for job in evaluation.feature_jobs(context)], context)
    for evaluation in on_features:
        if is_main():
            logger.info("scoring %s", evaluation.name)
        rows[evaluation.name] = evaluation.run(context)
    trained = [model.name for model in context.models if model.kind == "trained"]
    chance = None if context.labeled.multi_label else 100 / len(context.labeled.labels.unique())
    return Results([row for evaluation in evaluations for row in rows[evaluation.name]], trained, chance)
