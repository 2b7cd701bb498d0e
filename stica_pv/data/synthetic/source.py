"""Generated data for a run: written on first use, then read like any list."""

import dataclasses
from pathlib import Path
from typing import Any

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, declare_limits
from stica_pv.data.synthetic.plan import SyntheticSettings
from stica_pv.data.synthetic.write import write_dataset
from stica_pv.errors import UsageError

FACTORS = tuple(factor.name for factor in dataclasses.fields(SyntheticSettings))


def add_synthetic_config(cfg: CfgNode) -> None:
    """Declare SYNTHETIC, with a key for every factor of `SyntheticSettings`."""
    synthetic = section(cfg, "SYNTHETIC")
    synthetic.GENERATE = False  # write the data set into DATA.PATH_TO_DATA_DIR first
    synthetic.TRAIN_CLIPS = 512
    synthetic.TEST_CLIPS = 160
    synthetic.SEED = 0
    for name, value in dataclasses.asdict(SyntheticSettings()).items():
        synthetic[name.upper()] = _as_yaml(name, value)


def settings_from_config(cfg: CfgNode) -> SyntheticSettings:
    """Return the factors that SYNTHETIC names.

    Raises:
        UsageError: They do not go together; the message names the key.
    """
    given = {name: _as_setting(name, cfg.SYNTHETIC[name.upper()]) for name in FACTORS}
    try:
        return SyntheticSettings(**given)
    except UsageError as error:
        name, _, rest = str(error).partition(":")
        raise UsageError(f"SYNTHETIC.{name.upper()}:{rest}") from error


def generate_from_config(cfg: CfgNode) -> bool:
    """Write the data set that the keys describe, unless it exists; return whether files were written.

    Raises:
        UsageError: The factors do not go together, or the folder holds other data.
    """
    node = cfg.SYNTHETIC
    return write_dataset(
        Path(cfg.DATA.PATH_TO_DATA_DIR),
        clips={cfg.TRAIN.SPLIT: node.TRAIN_CLIPS, cfg.TEST.SPLIT: node.TEST_CLIPS},
        seed=node.SEED,
        settings=settings_from_config(cfg),
    )


def _as_yaml(name: str, value: Any) -> Any:
    if name == "classes":
        return [" ".join(events) for events in value]
    return list(value) if isinstance(value, tuple) else value


def _as_setting(name: str, value: Any) -> Any:
    if name == "classes":
        return tuple(tuple(events.split()) for events in value)
    return tuple(value) if isinstance(value, list) else value


_RANGE = Limits(low=0, count=2, ordered=True)
_DECIBELS = Limits(count=2, ordered=True)
declare_limits(
    {
        "SYNTHETIC.TRAIN_CLIPS": AT_LEAST_ONE,
        "SYNTHETIC.TEST_CLIPS": AT_LEAST_ONE,
        "SYNTHETIC.SEED": NOT_NEGATIVE,
        "SYNTHETIC.SECONDS": POSITIVE,
        "SYNTHETIC.FPS": AT_LEAST_ONE,
        "SYNTHETIC.SIZE": Limits(low=2),
        "SYNTHETIC.AUDIO_RATE_HZ": AT_LEAST_ONE,
        "SYNTHETIC.OBJECTS": AT_LEAST_ONE,
        "SYNTHETIC.POSITION_RANGE": SHARE,
        "SYNTHETIC.RADIUS": _RANGE,
        "SYNTHETIC.SCALE_RANGE": SHARE,
        "SYNTHETIC.SPEED": _RANGE,
        "SYNTHETIC.GROWTH": _RANGE,
        "SYNTHETIC.EVENT_SECONDS": _RANGE,
        "SYNTHETIC.TIMING_JITTER": SHARE,
        "SYNTHETIC.IMAGE_NOISE": _RANGE,
        "SYNTHETIC.AGREEMENT": SHARE,
        "SYNTHETIC.PITCH_HZ": Limits(above=0, count=2, ordered=True),
        "SYNTHETIC.LOUDNESS_DB": _DECIBELS,
        "SYNTHETIC.AUDIO_NOISE_DB": _DECIBELS,
        "SYNTHETIC.LEAK": SHARE,
        "SYNTHETIC.CLUTTER": SHARE,
    }
)
