"""Single-frame baselines: a linear probe on pixels, and retrieval by trained encoders without motion."""

from dataclasses import dataclass, replace

from stica_pv.config import CfgNode
from stica_pv.distributed import is_main
from stica_pv.evaluation.baselines import MiddleFrame, StillFrame
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluated_model import EvaluatedModel, content_hash
from stica_pv.evaluation.feature_evaluation import BASELINE_PROCESSING, FeatureEvaluation, feature_jobs_of, rows_of
from stica_pv.evaluation.protocol import NO_MODEL, Row
from stica_pv.evaluation.protocols.requests import request_for_test
from stica_pv.evaluation.protocols.retrieval import Retrieval
from stica_pv.evaluation.protocols.ridge import RidgeProbe
from stica_pv.registry import EVALUATIONS

NAME, PIXELS = "single_frame", "16 x 16 pixels of the middle frame"


@dataclass(frozen=True)
class SingleFrame:
    """Scores of the pixels of the middle frame by a ridge probe, and of trained encoders on it, repeated, by R@1.

    Attributes:
        probe: Probe on pixels.
        retrieval: Retrieval by encoders.
        processing: Feature normalization of trained encoders.
        seed: Seed of the run.
        name: Registered name.
    """

    probe: RidgeProbe
    retrieval: Retrieval
    processing: str
    seed: int
    name: str = NAME

    def feature_jobs(self, context: EvaluationContext) -> list[FeatureJob]:
        """Return the jobs of the pixels and of every trained encoder on still frames."""
        return feature_jobs_of(self.probe, [pixels(context)], context) + feature_jobs_of(
            self.retrieval, stills(context), context
        )

    def run(self, context: EvaluationContext) -> list[Row]:
        """Score them on the main process."""
        if not is_main():
            return []
        by_probe = FeatureEvaluation(NAME, self.probe, self.processing, self.seed)
        found = by_probe.score(context, pixels(context), BASELINE_PROCESSING)
        rows = [
            replace(row, metric=f"linear/{row.metric}", model=NO_MODEL, protocol=f"{row.protocol} on {PIXELS}")
            for row in rows_of(NAME, self.probe, found, context, seed=self.seed)
        ]
        by_retrieval = FeatureEvaluation(NAME, self.retrieval, self.processing, self.seed)
        for still in stills(context):
            found = by_retrieval.score(context, still, self.processing)
            found = [scored for scored in found if scored.folds[0].name.partition(",")[0] == "R@1"]
            more = rows_of(NAME, self.retrieval, found, context, seed=self.seed)
            rows += [replace(row, metric=f"encoder/{row.metric}") for row in more]
        return rows


def pixels(context: EvaluationContext) -> EvaluatedModel:
    """Return the middle frame as a model, in the clip format of the first model."""
    encoders = {"video": MiddleFrame()}
    return EvaluatedModel(PIXELS, "baseline", encoders, context.models[0].clip_format, content_hash(encoders))


def stills(context: EvaluationContext) -> list[EvaluatedModel]:
    """Return the trained encoders on the repeated middle frame, under their names."""
    found = []
    for model in context.models:
        if model.kind == "trained" and "video" in model.encoders:
            encoders = {"video": StillFrame(model.encoders["video"])}
            found.append(replace(model, encoders=encoders, hash=content_hash(encoders)))
    return found


@EVALUATIONS.named(NAME)
def single_frame_from_config(cfg: CfgNode) -> SingleFrame:
    """Build it with the views of the test."""
    request = replace(request_for_test(cfg, average=True), modality="video", layer="pooled")
    return SingleFrame(
        probe=RidgeProbe(NAME, request, request, holdout_share=cfg.TEST.HOLDOUT_SHARE),
        retrieval=Retrieval(f"{NAME} still", request, request, metric="cosine"),
        processing=cfg.TEST.FEATURE_NORM,
        seed=cfg.RNG_SEED,
    )
