"""Run several evaluations: extract all features in as few passes as possible, then score each."""

import logging
from collections.abc import Sequence
from typing import Protocol

from stica_pv.distributed import is_main
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.results import Results

logger = logging.getLogger(__name__)


class Evaluation(Protocol):
    """One entry of TEST.EVALUATIONS, built from the configuration by a function registered in EVALUATIONS.

    Attributes:
        name: Registered name.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    def feature_jobs(self, context: EvaluationContext) -> list[FeatureJob]:
        """Return the features that `run` needs; none if it extracts no features, such as a fine-tuning."""

    def run(self, context: EvaluationContext) -> list[Row]:
        """Run on every process; only the rows of the main process count. The features are extracted."""


def run_evaluations(evaluations: Sequence[Evaluation], context: EvaluationContext) -> Results:
    """Run every evaluation on all processes; only the main process has complete results.

    Evaluations without features, which may train networks, run first. Then the features of all others are extracted
    in as few passes as possible, before these run.
    """
    jobs = {evaluation.name: evaluation.feature_jobs(context) for evaluation in evaluations}
    rows: dict[str, list[Row]] = {e.name: e.run(context) for e in evaluations if not jobs[e.name]}
    extract_features([job for needed in jobs.values() for job in needed], context)
    for evaluation in (e for e in evaluations if jobs[e.name]):
        if is_main():
            logger.info("scoring %s", evaluation.name)
        rows[evaluation.name] = evaluation.run(context)
    trained = [model.name for model in context.models if model.kind == "trained"]
    chance = None if context.labeled.multi_label else 100 / len(context.labeled.labels.unique())
    return Results([row for evaluation in evaluations for row in rows[evaluation.name]], trained, chance)
