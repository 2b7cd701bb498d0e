"""Placeholders of encoders are no frames: they make no slot, and nothing is decoded from them."""

from pathlib import Path

import av
from edited import edited, wrong_windows
from made_media import make_media


def with_placeholders(*positions: int):
    """Put a byte 0x7F, flagged as a key frame, before the packets at these places; all packets get new stamps."""

    def edit(packets: list[av.Packet]) -> list[av.Packet]:
        out: list[av.Packet] = []
        for number, packet in enumerate(packets):
            for _ in range(positions.count(number)):
                placeholder = av.Packet(b"\x7f")
                placeholder.time_base, placeholder.is_keyframe = packet.time_base, True
                out.append(placeholder)
            out.append(packet)
        for number, packet in enumerate(out):
            packet.pts = packet.dts = number
        return out

    return edit


def test_placeholders_at_the_start_and_within_are_no_frames(tmp_path: Path):
    for name, options in (("b", {"bf": "2", "g": "80"}), ("p", {"bf": "0", "g": "80"})):
        plain = make_media(tmp_path / f"{name}.avi", video="mpeg4", audio=None, options=options)
        for positions in ((1,), (0, 0, 0), (1, 60)):
            path = edited(plain, tmp_path / "placeholders.avi", with_placeholders(*positions))
            assert wrong_windows(path, (0.0, 0.52, 1.72, 2.72, 3.52)) == []
