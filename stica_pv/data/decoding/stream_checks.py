"""Detects what headers omit or get wrong: streams that cannot be decoded, and misleading time stamps."""

import re
from typing import Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from stica_pv.data.decoding.container import logged, open_container
from stica_pv.data.decoding.pyav import decoder_delay

StreamKind = Literal["video", "audio"]
KINDS: tuple[StreamKind, ...] = ("video", "audio")

UNDECODABLE = "?"
"""Prefix of the tag (which may be empty) of a codec that cannot be decoded."""

_ARTICLE: dict[StreamKind, str] = {"video": "a", "audio": "an"}
_ENCRYPTED_TAGS = ("drmi", "drms", "encv", "enca")


def undecodable_codec(path: str, container: InputContainer, kind: StreamKind) -> str:
    """Return `UNDECODABLE` and the tag of the first stream of a kind if none of them can be decoded, else ""."""
    streams = [s for s in container.streams if s.type == kind and not s.disposition & Disposition.attached_pic]
    if not streams or any(stream.codec_context for stream in streams):
        return ""
    with logged(av.logging.WARNING) as lines, open_container(path):  # only the log has the tag
        pass
    described = re.search(rf"stream {streams[0].index} \(\w+: \w+ \((.+?) /", " ".join(line[2] for line in lines))
    return UNDECODABLE + (described[1].strip() if described else "")


def undecodable_cause(path: str, container: InputContainer, kind: StreamKind) -> str:
    """Return why the streams of a kind cannot be decoded; "" if one can, or if there is none."""
    codec = undecodable_codec(path, container, kind)
    return absence_cause(kind, codec) if codec else ""


def decodable(codec: str) -> bool:
    """Return whether a codec of the manifest can be decoded."""
    return bool(codec) and not codec.startswith(UNDECODABLE)


def absence_cause(kind: StreamKind, codec: str) -> str:
    """Return why no stream of a kind can be decoded, given the result of `undecodable_codec`."""
    tag = codec.removeprefix(UNDECODABLE)
    if not codec:
        return f"no {kind} stream"
    if tag in _ENCRYPTED_TAGS:
        return f"the {kind} is encrypted ({tag}); decrypt the file first"
    name = f"the codec {tag}" if tag else "no known codec"
    return f"there is {_ARTICLE[kind]} {kind} stream of {name}, which cannot be decoded"


_FIRST_ENTRIES = 50
_TOO_DENSE = 0.2
_SEEK_BY_RATE = ("aiff", "au", "caf", "voc", "w64", "wav")
"""Containers in which FFmpeg computes positions from the bit rate; exact for PCM, else inaccurate by rounding."""


def stamps_mislead(container: InputContainer, stream: AudioStream) -> bool:
    """Return whether audio packets have wrong time stamps after a seek, and have to be read from the start."""
    entries, context = stream.index_entries, stream.codec_context
    if container.format.name in _SEEK_BY_RATE:
        return not context.name.startswith("pcm_")
    last = min(len(entries), _FIRST_ENTRIES) - 1
    if container.format.name != "avi" or last < 1 or not context.frame_size:
        return False
    # In an AVI with a wrong header, packets follow each other much faster than their durations allow.
    step_s = float((entries[last].timestamp - entries[0].timestamp) * (stream.time_base or 0)) / last
    return step_s < _TOO_DENSE * context.frame_size / (context.sample_rate or 1)


def unstamped_delay_s(container: InputContainer, stream: AudioStream) -> float:
    """Return the delay of the audio after its start time: the header of MP4 may omit the pre-skip of Opus."""
    entries, context = stream.index_entries, stream.codec_context
    if "mp4" not in container.format.name.split(",") or not len(entries):
        return 0.0
    stated = entries[0].timestamp < (stream.start_time or 0)  # packets before the start time are the pre-skip
    return 0.0 if stated else decoder_delay(context) / (context.sample_rate or 1)
