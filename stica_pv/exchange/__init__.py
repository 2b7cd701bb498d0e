"""Exchange of weights: convert foreign files into checkpoints, export checkpoints for other programs."""

from stica_pv.exchange.convert import Conversion, convert, implied_by
from stica_pv.exchange.described import Described, load_encoder, load_trunk_of, read_described
from stica_pv.exchange.exports import FORMATS, Exported, ExportRequest, export

__all__ = [
    "FORMATS",
    "Conversion",
    "Described",
    "ExportRequest",
    "Exported",
    "convert",
    "export",
    "implied_by",
    "load_encoder",
    "load_trunk_of",
    "read_described",
]
