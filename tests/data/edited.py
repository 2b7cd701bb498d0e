"""Files made of the packets of others, edited on the way."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from full_decode import full_decode
from reading import one

Edit = Callable[[list[av.Packet]], list[av.Packet]]


def edited(source: Path, target: Path, edit: Edit) -> Path:
    """Copy the video packets of a file after `edit`."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        template = reader.streams.video[0]
        stream = writer.add_stream_from_template(template)
        stream.time_base = template.time_base  # PyAV 17.0 copies none, and an AVI has a slot for each of its ticks
        for packet in edit([packet for packet in reader.demux(template) if packet.size]):
            packet.stream = stream
            writer.mux(packet)
    return target


def flag_every(count: int) -> Edit:
    """Flag every so manyth packet as a key frame."""

    def edit(packets: list[av.Packet]) -> list[av.Packet]:
        for packet in packets[::count]:
            packet.is_keyframe = True
        return packets

    return edit


def wrong_windows(path: Path, starts: tuple[float, ...], frames: int = 4) -> list[float]:
    """Return where windows differ from a decode of the whole file, in a bit or in a time."""
    whole = full_decode(path)
    wrong = []
    for start in starts:
        clip = one(path, start, frames / 25, frames, 25.0, at_end="pad")
        nearest = [int(np.argmin(np.abs(whole.times_s - start - at / 25))) for at in range(frames)]
        same = all(
            # exact: decoded by the same decoder in one process
            np.array_equal(clip.frames[:, at].permute(1, 2, 0).numpy(), whole.frames[number])
            for at, number in enumerate(nearest)
        )
        if not same or not np.allclose(clip.frame_times_s, whole.times_s[nearest], atol=1e-3):
            wrong.append(start)
    return wrong
