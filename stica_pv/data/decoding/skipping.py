"""Which frames before a window need no decoding: those that no other frame refers to."""

from collections.abc import Sequence

from stica_pv.data.decoding.media_file import MediaFile, MediaPacket

_SKIPPING_CODECS = ("h264", "mpeg1video", "mpeg2video", "mpeg4")
"""Their decoders leave out non-reference frames without harm to any other."""

_COUNTED_CODECS = ("mpeg1video", "mpeg2video", "mpeg4")
"""Of these a frame that no other refers to fills the slot before its packet's, where frames are counted."""

_SAME_TIME_S = 1e-6


def skippable_packets(media: MediaFile, packets: Sequence[MediaPacket], first_s: float) -> int:
    """Returns how many packets, from the first on, only hold frames before all that can be chosen.

    Of those packets only what others refer to has to be decoded. 0 where the times of the frames are not certain.

    Args:
        media: The file.
        packets: Of its frames, in decoding order from a key frame on.
        first_s: First wanted time in seconds on the file's clock.
    """
    stream = media.video
    codecs = _COUNTED_CODECS if media.counts_frames else _SKIPPING_CODECS
    if stream is None or media.sparse_times or media.decodes_from_start or stream.codec_context.name not in codecs:
        return 0
    stamps = [stamp for stamp in map(media.stamp, packets) if stamp is not None]
    if len(stamps) < len(packets) or len(set(stamps)) < len(stamps):
        return 0
    limit = (first_s + media.origin_s + _SAME_TIME_S) / float(stream.time_base or 1)
    last_before = max((stamp for stamp in stamps if stamp <= limit), default=None)
    if last_before is None:
        return 0
    return next((place for place, stamp in enumerate(stamps) if stamp >= last_before), 0)
