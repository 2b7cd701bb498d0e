"""Finds where the decoding of a time span has to begin and end, by checking the decoded frames."""

from collections.abc import Sequence

from stica_pv.data.decoding.demux import Span, StretchPackets, collect_packets
from stica_pv.data.decoding.frames import DecodedFrames, FrameChoice, FrameConverter, decode_frames
from stica_pv.data.decoding.media_file import MediaFile

_BEYOND_TIMES = 4
"""Factor by which more packets are read past the end of the span if decoding gives too few frames."""


def read_frames(
    media: MediaFile,
    wanted_s: Sequence[float],
    audio: Span | None,
    frame_choice: FrameChoice,
    convert: FrameConverter,
) -> tuple[DecodedFrames, StretchPackets]:
    """Read the frames of a time span, together with the packets of its audio.

    Decoding begins at the last key frame according to the container. If the decoder gives no key frame in time, it
    begins further back, at worst at the start of the file; if it gives too few frames, more packets are read.

    Args:
        media: The file.
        wanted_s: Requested times, increasing, in seconds on the file's clock.
        audio: Requested audio with its margins, None for none.
        frame_choice: Which frame to choose for a time.
        convert: Converts decoded frames to RGB.
    """
    span = Span(min(wanted_s[0], media.seconds), wanted_s[-1])
    tried, beyond = 0, media.notes.beyond
    while True:
        packets = collect_packets(media, span, audio, tried=tried, beyond=beyond)
        begin = media.stamp(packets.video[0]) if packets.video else None
        if not packets.from_start and media.notes.is_too_late(begin, span.start_s):
            tried = packets.tries
            continue
        found = decode_frames(media, packets.video, wanted_s, frame_choice, convert, from_start=packets.from_start)
        if found.too_late:
            media.notes.note_too_late(begin, span.start_s)
            tried = packets.tries
        elif found.reached_end and not packets.to_end:
            beyond = _BEYOND_TIMES * max(beyond, 1)
        else:
            break
    if 0 < beyond <= _BEYOND_TIMES:
        media.notes.note_beyond(beyond)
    return found, packets
