"""Options of encoders for reproducible output, checks of their limits, and a guard against their side effects."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av

from stica_pv.errors import UsageError

_SAFE_OPTIONS = {
    # Its assembly for the macroblock tree reads uninitialized memory: the same clip gave different bytes.
    "libx264": {"x264-params": "cpu-independent=1"},
    # It can wait forever for threads of its pool that get no core.
    "libx265": {"x265-params": "pools=none:frame-threads=1"},
}


def encoder_options(codec: str, options: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return options with which x264 always gives the same bytes, and x265 has no thread pool.

    Args:
        codec: FFmpeg's name of the encoder, or of its format, such as ``hevc``.
        options: Further options; parameters of x264 and x265 are merged.
    """
    merged = dict(options or {})
    for key, value in _SAFE_OPTIONS.get(av.Codec(codec, "w").name, {}).items():
        merged[key] = f"{merged[key]}:{value}" if merged.get(key) else value
    return merged


def check_aac_rate(rate_hz: int) -> None:
    """Raise `UsageError`, with a message that begins with ``audio_rate_hz``, if AAC does not support the rate."""
    rates = av.Codec("aac", "w").audio_rates or []
    if rates and rate_hz not in rates:
        raise UsageError(f"audio_rate_hz: AAC does not support {rate_hz}; expected one of {sorted(rates)}")


@contextmanager
def priority_kept() -> Iterator[None]:
    """Restore the scheduling policy of this thread on exit.

    SVT-AV1 switches its process to real-time scheduling if it may (as root on Linux). Later child processes inherit
    this, and a busy one then blocks a core for all other processes of the machine.
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
