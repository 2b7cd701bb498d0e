"""Determines which frames before a window need no decoding: those that are no reference for others."""

from collections.abc import Sequence

from stica_pv.data.decoding.media_file import SAME_TIME_S, MediaFile, MediaPacket

_SKIPPING_CODECS = ("h264", "mpeg1video", "mpeg2video", "mpeg4")
"""Codecs whose decoders can skip non-reference frames without an effect on others."""

_COUNTED_CODECS = ("mpeg1video", "mpeg2video", "mpeg4")
"""Codecs in which a non-reference frame fills the slot before that of its packet, if frames are counted."""


def skippable_packets(media: MediaFile, packets: Sequence[MediaPacket], first_s: float) -> int:
    """Return the number of leading packets whose frames precede all frames that can be chosen.

    Of those packets only reference frames have to be decoded. Returns 0 if the times of the frames are uncertain.

    Args:
        media: The file.
        packets: Video packets in decoding order from a key frame on.
        first_s: First requested time in seconds on the file's clock.
    """
    stream = media.video
    codecs = _COUNTED_CODECS if media.counts_frames else _SKIPPING_CODECS
    if stream is None or media.sparse_times or media.decodes_from_start or stream.codec_context.name not in codecs:
        return 0
    stamps = [stamp for stamp in map(media.stamp, packets) if stamp is not None]
    if len(stamps) < len(packets) or len(set(stamps)) < len(stamps):
        return 0
    limit = (first_s + media.origin_s + SAME_TIME_S) / float(stream.time_base or 1)
    last_before = max((stamp for stamp in stamps if stamp <= limit), default=None)
    if last_before is None:
        return 0
    return next((position for position, stamp in enumerate(stamps) if stamp >= last_before), 0)
