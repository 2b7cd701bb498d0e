"""Generated data for a run: written on first use, then read like any list."""

import dataclasses
from pathlib import Path
from typing import Any

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits
from stica_pv.config.roles import DATA
from stica_pv.data.synthetic.plan import SyntheticSettings
from stica_pv.data.synthetic.write import write_dataset
from stica_pv.errors import UsageError

FACTORS = tuple(factor.name for factor in dataclasses.fields(SyntheticSettings))

_RANGE = Limits(low=0, count=2, ordered=True)
_DECIBELS = Limits(count=2, ordered=True)
declare_keys(
    __name__,
    "SYNTHETIC",
    DATA,
    Key("GENERATE", False, "Whether the data set is first generated in DATA.PATH_TO_DATA_DIR."),
    Key("TRAIN_CLIPS", 512, "Number of training clips.", AT_LEAST_ONE),
    Key("TEST_CLIPS", 160, "Number of test clips.", AT_LEAST_ONE),
    Key("SEED", 0, "Seed of the generated data.", NOT_NEGATIVE),
    Key(
        "CLASSES",
        [" ".join(events) for events in SyntheticSettings.classes],
        "Classes, each a sequence of events: up, down, grow, shrink; all equally long.",
    ),
    Key("SECONDS", SyntheticSettings.seconds, "Length of a clip in seconds.", POSITIVE),
    Key("FPS", SyntheticSettings.fps, "Frames per second.", AT_LEAST_ONE),
    Key("SIZE", SyntheticSettings.size, "Side of the square frame in pixels, even.", Limits(low=2)),
    Key(
        "AUDIO_RATE_HZ",
        SyntheticSettings.audio_rate_hz,
        "Sample rate of the audio in Hz, one of those of AAC.",
        AT_LEAST_ONE,
    ),
    Key("OBJECTS", SyntheticSettings.objects, "Number of objects, which all take part in the events.", AT_LEAST_ONE),
    Key(
        "POSITION_RANGE",
        SyntheticSettings.position_range,
        "Share of the torus over which objects start; 1 hides the class from single frames.",
        SHARE,
    ),
    Key(
        "RADIUS",
        list(SyntheticSettings.radius),
        "Smallest and largest radius of an object, in sides of the frame.",
        _RANGE,
    ),
    Key(
        "SCALE_RANGE",
        SyntheticSettings.scale_range,
        "Share of the size range over which objects start; 1 hides the class from single frames.",
        SHARE,
    ),
    Key("SPEED", list(SyntheticSettings.speed), "Range of the speed of movement, in sides per second.", _RANGE),
    Key("GROWTH", list(SyntheticSettings.growth), "Range of the speed of growth, in size ranges per second.", _RANGE),
    Key(
        "EVENT_SECONDS",
        list(SyntheticSettings.event_seconds),
        "Range of the length of an event in seconds; an event stays within its equal share of the clip.",
        _RANGE,
    ),
    Key(
        "TIMING_JITTER",
        SyntheticSettings.timing_jitter,
        "Shift of an event within its share of the clip: 0 is its middle, 1 anywhere in it.",
        SHARE,
    ),
    Key(
        "IMAGE_NOISE",
        list(SyntheticSettings.image_noise),
        "Range of the standard deviation of the pixel noise, in gray levels of 255.",
        _RANGE,
    ),
    Key(
        "AGREEMENT",
        SyntheticSettings.agreement,
        "Probability that the audio belongs to the class of the clip; else a random class is used.",
        SHARE,
    ),
    Key(
        "PITCH_HZ",
        list(SyntheticSettings.pitch_hz),
        "Range of the base pitch in Hz.",
        Limits(above=0, count=2, ordered=True),
    ),
    Key(
        "LOUDNESS_DB",
        list(SyntheticSettings.loudness_db),
        "Range of the loudness in dB, relative to full scale.",
        _DECIBELS,
    ),
    Key(
        "AUDIO_NOISE_DB",
        list(SyntheticSettings.audio_noise_db),
        "Range of the noise in dB, relative to the audio.",
        _DECIBELS,
    ),
    Key(
        "LEAK",
        SyntheticSettings.leak,
        "Weight of a class color in the background, 0 to 1; 0 hides the class from single frames.",
        SHARE,
    ),
    Key(
        "CLUTTER",
        SyntheticSettings.clutter,
        "Brightness of the background relative to the objects, 0 to 1; 1 makes them hard to distinguish.",
        SHARE,
    ),
)


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


def _as_setting(name: str, value: Any) -> Any:
    if name == "classes":
        return tuple(tuple(events.split()) for events in value)
    return tuple(value) if isinstance(value, list) else value
