"""Foreign weights: reads files without running their code, renames tensors by tables, compares with a network."""

from stica_pv.weights.files import WeightsFile, read_weights, refuse_existing, write_atomic
from stica_pv.weights.layouts import LAYOUTS, TRUNK_LAYOUTS, Layout, layout_named
from stica_pv.weights.matching import Match, inflate, match
from stica_pv.weights.trunk import best_layout, load_trunk

__all__ = [
    "LAYOUTS",
    "TRUNK_LAYOUTS",
    "Layout",
    "Match",
    "WeightsFile",
    "best_layout",
    "inflate",
    "layout_named",
    "load_trunk",
    "match",
    "read_weights",
    "refuse_existing",
    "write_atomic",
]
