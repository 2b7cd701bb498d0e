"""Differences between PyAV versions 17 to 19; no other module depends on the version."""

import contextlib
from typing import Any

import av
from av.audio.codeccontext import AudioCodecContext
from av.video.stream import VideoStream

_INTERLACED = 2
"""FFmpeg's field orders from this value on mean interlaced video."""


def open_options(version: str) -> dict[str, Any]:
    """Return the arguments of `av.open` for reading, such that metadata of any encoding are accepted.

    Args:
        version: Version of PyAV. Since 19, PyAV has no argument ``metadata_errors`` and always replaces.
    """
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


OPEN_OPTIONS = open_options(av.__version__)


def may_be_interlaced(stream: VideoStream) -> bool:
    """Return whether a video may be interlaced.

    PyAV gives the order of fields in the header from 18.1 on; with an older one, every video may be interlaced.
    """
    return getattr(stream.codec_context, "field_order", _INTERLACED) >= _INTERLACED


def decoder_delay(context: AudioCodecContext) -> int:
    """Return the number of samples that a decoder drops first, wherever in the file it begins.

    Only an open decoder knows it: since PyAV 19 the header of MP4 gives the length of the edit list until then, which
    may differ from the pre-skip of Opus. (The delay of WMA is not known before PyAV 17.1 even then.)
    """
    with contextlib.suppress(av.FFmpegError):  # decoding raises it again, and is where it is reported
        context.open(strict=False)
    return context.delay
