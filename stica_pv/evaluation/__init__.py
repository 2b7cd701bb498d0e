"""What a representation is worth: features once, then protocols on them; and fine-tuning."""

from stica_pv.evaluation import catalogue, finetune, single_frame  # noqa: F401 - they register evaluations
