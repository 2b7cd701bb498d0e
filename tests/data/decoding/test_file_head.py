"""What the first packets say: whether frames are stamped in order, and whether the decoder needs the first of them."""

from pathlib import Path

import av
import pytest
from edited import edited
from made_media import make_media, numbers_of
from reading import nearest_numbers, one

from stica_pv.commands.reader_check.faults import field_packets
from stica_pv.data.decoding import demux, file_head
from stica_pv.data.decoding.media_file import MediaFile


@pytest.fixture(params=["installed PyAV", "PyAV without field order"])
def any_pyav(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV before 18.1 does not give the order of fields."""
    if request.param == "PyAV without field order":
        monkeypatch.setattr(file_head, "may_be_interlaced", lambda stream: True)
        monkeypatch.setattr(demux, "may_be_interlaced", lambda stream: True)


def in_decoding_order(packets: list[av.Packet]) -> list[av.Packet]:
    stamps = sorted(packet.pts for packet in packets)
    for packet, stamp in zip(packets, stamps, strict=True):
        packet.pts = packet.dts = stamp
    return packets


@pytest.mark.usefixtures("any_pyav")
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("video", ["libx264", "mpeg4"])
def test_frames_stamped_as_they_are_decoded_are_shown_in_order(tmp_path: Path, ending: str, video: str):
    plain = make_media(tmp_path / "plain.mp4", video=video, audio=None, options={"bf": "2", "g": "40"})
    path = edited(plain, tmp_path / f"order.{ending}", in_decoding_order)
    for start in (0.0, 0.5, 1.32, 2.6, 3.4):
        assert numbers_of(one(path, start, 0.2, 5, 25.0).frames.numpy()) == nearest_numbers(start, 5, 25.0)


@pytest.mark.usefixtures("any_pyav")
def test_fields_stamped_in_order_are_not_counted_as_frames(tmp_path: Path):
    path = tmp_path / "fields.mkv"
    with av.open(str(path), "w") as container:
        for _, packet in field_packets(container, frames=24, fps=25, size=(64, 64), delay=1):
            container.mux(packet)
    with MediaFile(str(path)) as media:
        assert media.video is not None
        assert media.video.codec_context.has_b_frames
        assert not media.counts_frames
    for start in (0.0, 0.4, 0.72):
        assert numbers_of(one(path, start, 0.2, 5, 25.0).frames.numpy()) == nearest_numbers(start, 5, 25.0)


def test_stamps_in_order_are_believed(tmp_path: Path):
    for name, options in (("b", {"bf": "2"}), ("p", {"bf": "0"})):
        with MediaFile(str(make_media(tmp_path / f"{name}.mp4", audio=None, options=options))) as media:
            assert not media.counts_frames


def test_only_chroma_444_of_an_old_x264_is_decoded_from_the_start(tmp_path: Path):
    for pix_fmt, build, from_start in (
        ("yuv444p", b"142", True),
        ("yuv444p", b"151", False),
        ("yuv420p", b"142", False),
    ):
        path = make_media(tmp_path / "a.mp4", audio=None, seconds=0.4, pix_fmt=pix_fmt)
        content = path.read_bytes()
        at = content.index(b"x264 - core ") + 12
        path.write_bytes(content[:at] + build + content[at + 3 :])
        with MediaFile(str(path)) as media:
            assert media.decodes_from_start == from_start
