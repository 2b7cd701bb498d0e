"""Gives audio packets wrong time stamps, as some programs write them."""

from collections.abc import Sequence
from typing import Literal

import av
import numpy as np

AudioFault = Literal["", "sawtooth", "noise", "sparse", "no durations", "pre-skip"]

_STEPS = (0, 960, 1920, 2880, 3840, 4800, 5760)
"""Time stamps of packets of 1024 samples in a group of seven, whose total length is correct."""

_NOISE = 300
"""Largest jitter in samples."""

_STAMPED = 5
"""Interval of packets with a time stamp, if most have none."""

_PRE_SKIP = (24000).to_bytes(2, "big")


def stamp_badly(fault: AudioFault, packets: "Sequence[av.Packet[av.AudioStream]]") -> None:
    """Change the time stamps of packets of 1024 samples, whose time base is the sample rate."""
    first = packets[0].pts or 0
    jitter = np.random.default_rng(0).integers(-_NOISE, _NOISE, len(packets))
    jitter[:_STAMPED] = 0  # the first ones give the start of the audio
    for number, packet in enumerate(packets):
        if fault == "sawtooth" and number:  # the first packet is the encoder's delay
            groups, position = divmod(number - 1, len(_STEPS))
            packet.pts = packet.dts = first + (groups * len(_STEPS) + 1) * 1024 + _STEPS[position]
        elif fault == "noise":
            packet.pts = packet.dts = (packet.pts or 0) + int(jitter[number])
        elif fault == "sparse" and number % _STAMPED:
            packet.pts = packet.dts = None
        elif fault == "no durations":
            packet.duration = 0


def bad_bytes(fault: AudioFault, data: bytes) -> bytes:
    """Return a file with what only its bytes can have wrong."""
    if fault != "pre-skip":
        return data
    at = data.index(b"dOps") + 6
    return data[:at] + _PRE_SKIP + data[at + len(_PRE_SKIP) :]
