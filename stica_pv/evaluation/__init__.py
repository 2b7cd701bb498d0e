"""What a representation is worth: features once, then protocols on them."""

from stica_pv.evaluation.features import FeatureSet, extract, reestimate_batch_norm
from stica_pv.evaluation.suite import Comparison, compare, evaluate, table
from stica_pv.evaluation.views import grid_views

__all__ = [
    "Comparison",
    "FeatureSet",
    "compare",
    "evaluate",
    "extract",
    "grid_views",
    "reestimate_batch_norm",
    "table",
]
