"""Published data sets, read from their official list files; each is a data source with its name."""

from stica_pv.data.sources.official import (
    audioset,
    ave,
    dcase2014,
    epic_sounds,
    esc,
    fsd50k,
    grid,
    hmdb51,
    kinetics,
    kinetics_sounds,
    something,
    speech_commands,
    ucf101,
    vggsound,
)
from stica_pv.data.sources.official.official_set import OfficialSet

__all__ = [
    "OfficialSet",
    "audioset",
    "ave",
    "dcase2014",
    "epic_sounds",
    "esc",
    "fsd50k",
    "grid",
    "hmdb51",
    "kinetics",
    "kinetics_sounds",
    "something",
    "speech_commands",
    "ucf101",
    "vggsound",
]
