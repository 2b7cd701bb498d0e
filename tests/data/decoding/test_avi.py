"""AVI stores no presentation times: frames fill the slots of their packets in the order in which they are shown."""

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_media import lag_seconds, make_media, needs_encoders, numbered_frame, numbers_of
from reading import one

VOP, USER_DATA = b"\0\0\1\xb6", b"\0\0\1\xb2DivX503b1393p"
FPS, SECONDS = 25, 6
LAST = FPS * SECONDS - 1

KINDS = {
    "mpeg4": ("mpeg4", {"bf": "2"}),
    "mpeg4-no-b": ("mpeg4", {"bf": "0"}),
    "h264-pyramid": ("libx264", {"bf": "8", "b-pyramid": "normal", "g": "40", "preset": "veryfast"}),
    "h264-open": ("libx264", {"bf": "3", "preset": "veryfast", "x264-params": "open-gop=1"}),
    "mpeg2": ("mpeg2video", {"bf": "2"}),
}


def wrong_windows(path: Path, slots: list[int], windows: int = 25) -> list[tuple[int, list[int], list[int]]]:
    """Read three slots each from random ones on; `slots` has the frame that is shown in each."""
    rng = random.Random(0)
    starts = [0, len(slots) - 3, *(rng.randrange(len(slots) - 3) for _ in range(windows))]
    found = [
        (at, numbers_of(one(path, at / FPS, 3 / FPS, 3, FPS, at_end="pad", frame_choice="previous").frames.numpy()))
        for at in starts
    ]
    return [(at, got, slots[at : at + 3]) for at, got in found if got != slots[at : at + 3]]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_and_audio_stand_in_their_slots_wherever_reading_begins(tmp_path: Path, kind: str):
    video, options = KINDS[kind]
    path = make_media(
        tmp_path / "a.avi", video=video, audio="pcm_s16le", seconds=SECONDS, options=options, size=(128, 64)
    )
    assert wrong_windows(path, list(range(LAST + 1))) == []
    for start in (0.0, 2.6, 4.3):
        audio = one(path, start, 1.0, 2, 2.0, 44100, at_end="pad").audio.numpy()
        assert abs(lag_seconds(audio, start, 44100)) < 1e-3


def kind_of(packet: bytes) -> str:
    return "IPBS"[packet[packet.index(VOP) + 4] >> 6]


def not_coded(number: int) -> bytes:
    """A frame that only says that there is none, as encoders of packed streams write in place of the moved one."""
    bits = f"01{0}{1}{number % FPS:05b}{1}{0}{0}"
    bits += "1" * (-len(bits) % 8)
    return VOP + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def packed(packets: list[bytes]) -> list[bytes]:
    """DivX's packed stream: the first B-frame stands in the packet of the frame that it needs."""
    out: list[bytes] = []
    positions = [i for i, packet in enumerate(packets) if kind_of(packet) != "B"]
    for position, after in zip(positions, [*positions[1:], len(packets)], strict=True):
        needed, *others = packets[position:after]
        out += [needed + others[0], *others[1:], not_coded(position)] if others else [needed]
    return out


def test_packed_streams_of_divx_and_xvid_are_read_exactly(tmp_path: Path):
    plain = make_media(tmp_path / "a.avi", video="mpeg4", audio=None, seconds=SECONDS, options={"bf": "2"})
    with av.open(str(plain)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    marked = [
        packet.replace(VOP, USER_DATA + VOP, 1) if kind_of(packet) == "I" else packet for packet in packets
    ]  # players look for this word
    path = tmp_path / "packed.avi"
    with av.open(str(plain)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, content in enumerate(packed(marked)):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, FPS)
            packet.is_keyframe = kind_of(content) == "I"
            container.mux(packet)
    assert any(len(content) < 8 for content in packed(marked))
    assert wrong_windows(path, list(range(LAST + 1))) == []


def test_empty_slots_of_dropped_frames_keep_the_frame_before_also_after_a_seek(tmp_path: Path):
    needs_encoders("mpeg4")
    shown = [slot for slot in range(LAST + 1) if slot % 7 not in (2, 3, 5) or slot == LAST]
    path = tmp_path / "gaps.avi"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=FPS, options={"g": "12", "bf": "0"})
        video.width, video.height, video.pix_fmt, video.bit_rate = 64, 48, "yuv420p", 400_000
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        packets = []
        for slot in (*shown, None):
            frame = None
            if slot is not None:
                frame = av.VideoFrame.from_ndarray(numbered_frame(slot, 64, 48), format="rgb24")
                frame.pts, frame.time_base = slot, Fraction(1, FPS)
            packets += [(float(packet.pts / FPS), packet) for packet in video.encode(frame)]
        for begin in range(0, SECONDS * 8000, 2000):  # long blocks, so that a seek has slots to pass by
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, begin
            packets += [(begin / 8000, packet) for packet in audio.encode(frame)]
        for _, packet in sorted(packets, key=lambda timed: timed[0]):
            container.mux(packet)
    slots = [max(first for first in shown if first <= slot) for slot in range(LAST + 1)]
    assert wrong_windows(path, slots, 60) == []


def test_the_first_frames_of_a_stream_cut_before_an_open_group_leave_their_slots_empty(tmp_path: Path):
    whole = make_media(tmp_path / "a.avi", video="mpeg4", audio=None, seconds=SECONDS, options={"bf": "2"})
    path = tmp_path / "cut.avi"
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        begin = next(i for i, packet in enumerate(packets) if i and packet.is_keyframe)
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packets[begin:]):
            packet.stream, packet.pts, packet.dts = stream, number, number
            container.mux(packet)
    assert kind_of(bytes(packets[begin + 1])) == "B"  # shown before the key frame, and not decodable without the rest
    first = begin + 2  # the frame of the key frame
    slots = [first, first, *range(first, LAST + 1)]  # the first one stands for those before it
    assert wrong_windows(path, slots) == []


def test_a_header_with_millions_of_frames_a_second_does_not_hang_a_loop(tmp_path: Path):
    path = make_media(tmp_path / "a.avi", video="mpeg4", audio="pcm_s16le", seconds=1.0, rate_hz=8000)
    content = bytearray(path.read_bytes())
    rate = content.index(b"vids") + 24  # of the stream's header: scale, rate, start, length
    scale, frames = (int.from_bytes(content[at : at + 4], "little") for at in (rate - 4, rate))
    assert frames == FPS * scale
    content[rate : rate + 4] = (67_000_000).to_bytes(4, "little")
    path.write_bytes(content)
    clip = one(path, 0.1, 2.0, 4, 2.0, 8000, at_end="loop")
    assert clip.frames.shape[1] == 4
    assert clip.audio.shape == (16000,)
