"""Generated clips whose class depends only on motion and audio over time; real files, no download."""

from stica_pv.data.synthetic.plan import CLASSES, EVENTS, SyntheticSettings, sample_plan
from stica_pv.data.synthetic.render import render_clip, render_plan
from stica_pv.data.synthetic.source import generate_from_config
from stica_pv.data.synthetic.write import write_clip, write_dataset

__all__ = [
    "CLASSES",
    "EVENTS",
    "SyntheticSettings",
    "sample_plan",
    "generate_from_config",
    "render_clip",
    "render_plan",
    "write_clip",
    "write_dataset",
]
