"""Evaluation of representations: features extracted once, protocols on them, and fine-tuning."""

from stica_pv.evaluation.finetune import finetune  # noqa: F401 - they register evaluations
from stica_pv.evaluation.protocols import catalog, single_frame, synchrony  # noqa: F401
