"""Published data sets, read from their official list files; each is a data source with its name."""

from stica_pv.data.sources.official import audioset, dcase2014, esc, grid, hmdb51, kinetics, something, ucf101, vggsound
from stica_pv.data.sources.official.official_set import OfficialSet

__all__ = [
    "OfficialSet",
    "audioset",
    "dcase2014",
    "esc",
    "grid",
    "hmdb51",
    "kinetics",
    "something",
    "ucf101",
    "vggsound",
]
