"""Determines which decoded frames are key frames, because the flags of containers are not reliable."""

from av.video.frame import PictureType, VideoFrame

from stica_pv.data.decoding.media_file import MediaFile

_MARKING_CODECS = frozenset(
    (
        "av1", "flv", "h261", "h263", "h263i", "h263p", "h264", "hevc", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4",
        "msmpeg4", "msmpeg4v1", "msmpeg4v2", "rv10", "rv20", "rv30", "rv40", "theora", "vc1", "vp3", "vp6", "vp6a",
        "vp6f", "vp8", "vp9", "wmv1", "wmv2", "wmv3",
    )
)  # fmt: skip
"""Codecs with predicted frames whose decoders mark key frames; those of others (qtrle, svq1, cinepak) mark none."""

_PREDICTED = (PictureType.P, PictureType.B, PictureType.S)


def is_key_frame(media: MediaFile, frame: VideoFrame) -> bool:
    """Return whether a decoded frame is a complete key frame; always True for decoders that mark none."""
    assert media.video is not None
    if media.video.codec_context.name not in _MARKING_CODECS:
        return True
    # The second field of a key frame may be predicted from the first.
    intra = frame.interlaced_frame or frame.pict_type not in _PREDICTED
    return frame.key_frame and intra and not frame.is_corrupt
