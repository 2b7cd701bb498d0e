"""File name extensions of media files: those of FFmpeg's formats for video or audio."""

import functools

from av.format import ContainerFormat, formats_available

_NO_MEDIA = frozenset((
    "alias_pix", "apng", "aqtitle", "ass", "avif", "dash", "ffmetadata", "fits", "gif", "hls", "ico", "image2",
    "image2pipe", "jacosub", "jpegxl_anim", "lrc", "mcc", "microdvd", "mjpeg_2000", "mpl2", "mpsub", "pjs",
    "realtext", "sami", "sbg", "scc", "srt", "stl", "subviewer", "subviewer1", "sup", "ttml", "tty", "vobsub",
    "vplayer", "webm_dash_manifest", "webp", "webvtt",
))  # fmt: skip
"""FFmpeg's formats of images, subtitles, texts and playlists."""

_OTHER_MEANING = frozenset((
    "302", "aa2", "al", "art", "asc", "avif", "avs", "bit", "c2", "cdata", "cgi", "chk", "cpk", "dat", "drc",
    "flm", "heic", "heif", "idf", "ifv", "ism", "laf", "mac", "mks", "mpd", "mpo", "nc", "nist", "nsp", "pcm",
    "pdv", "pvf", "rgb", "rs", "rsd", "rso", "sb", "sds", "sdx", "ser", "sf", "sga", "son", "spdif", "str",
    "sw", "ty", "ub", "ul", "uw", "v", "vag", "vb", "vt", "wa", "xl", "xmd", "yop", "yuv",
))  # fmt: skip
"""Extensions that usually have another meaning in a data folder, and images of the MP4 format."""

_FURTHER = frozenset((
    "3gpp", "amr", "dif", "divx", "dsf", "m1v", "m2p", "mod", "mp4v", "mpe", "mpv", "mts", "ogm", "ogx", "qt",
    "rmvb", "tod", "tp", "trp", "vro", "wave", "xvid", "xwma",
))  # fmt: skip
"""Extensions of formats that FFmpeg recognizes by their content only."""


@functools.cache
def media_endings() -> frozenset[str]:
    """Return the extensions in lower case, with their dots."""
    found: set[str] = set(_FURTHER)
    for name in formats_available - _NO_MEDIA:
        for mode in ("r", "w"):
            try:
                found |= ContainerFormat(name, mode).extensions
            except ValueError:  # a format that FFmpeg only reads, or only writes
                continue
    return frozenset(f".{ending.strip().lower()}" for ending in found - _OTHER_MEANING)


def ending_of(name: str) -> str:
    """Return the extension of a name in lower case with its dot, "" if it has none."""
    _, dot, ending = name.rpartition("/")[2].rpartition(".")
    return dot + ending.lower() if dot else ""


def is_media(name: str) -> bool:
    """Return whether a file name has the extension of a media file."""
    return ending_of(name) in media_endings()
