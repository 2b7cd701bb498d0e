"""What encoders take, and what they do to the process that they run in, undone."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av

from stica_pv.errors import UsageError

_SAFE_OPTIONS = {
    # Its assembly for the macroblock tree reads memory that nothing has written: the same clip gave other bytes.
    "libx264": {"x264-params": "cpu-independent=1"},
    # It can wait without end for threads of its pool that get no core.
    "libx265": {"x265-params": "pools=none:frame-threads=1"},
}


def encoder_options(codec: str, options: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns options with which an encoder gives the same bytes each time (x264) and has no thread pool (x265).

    Args:
        codec: FFmpeg's name of the encoder, or of its format, as ``hevc``.
        options: Further options; parameters of x264 and x265 are joined.
    """
    merged = dict(options or {})
    for key, value in _SAFE_OPTIONS.get(av.Codec(codec, "w").name, {}).items():
        merged[key] = f"{merged[key]}:{value}" if merged.get(key) else value
    return merged


def check_aac_rate(rate_hz: int) -> None:
    """Raises `UsageError`, which begins with ``audio_rate_hz``, if AAC has no such sample rate."""
    rates = av.Codec("aac", "w").audio_rates or []
    if rates and rate_hz not in rates:
        raise UsageError(f"audio_rate_hz: AAC cannot be {rate_hz}; expected one of {sorted(rates)}")


@contextmanager
def priority_kept() -> Iterator[None]:
    """Restores the scheduling of this thread at the end.

    SVT-AV1 makes the process that opens it a real-time one where it may, as root on Linux; its later children inherit
    that, and one that is busy then takes a core from all else on the machine.
    """
    if not hasattr(os, "sched_setscheduler"):  # not Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)
