"""Writes H.264 whose frames are two coded fields (PAFF), as in cameras and broadcasts; x264 has no such mode."""

import numpy as np
import numpy.typing as npt

from stica_pv.commands.reader_check.signals import numbered_frame

FRAMES_PER_KEY = 12
_I_SLICE, _P_SLICE = 7, 5
_RAW_BLOCK = {_I_SLICE: 25, _P_SLICE: 30}
"""Type of a macroblock with raw samples."""


class _Bits:
    """Bits of a unit, as text."""

    def __init__(self) -> None:
        self.bits = ""

    def fixed(self, value: int, count: int) -> None:
        """Write a number of `count` bits."""
        self.bits += f"{value:0{count}b}"

    def golomb(self, *values: int) -> None:
        """Write unsigned values as Exp-Golomb codes; a signed 0 is the same code."""
        for value in values:
            code = f"{value + 1:b}"
            self.bits += "0" * (len(code) - 1) + code

    def align(self) -> None:
        """Fill the last byte."""
        self.bits += "0" * (-len(self.bits) % 8)

    def data(self) -> bytes:
        """Return whole bytes."""
        return bytes(int(self.bits[at : at + 8], 2) for at in range(0, len(self.bits), 8))


def _unit(head: int, bits: _Bits) -> bytes:
    """Return a unit of the stream: start code, head, and the bits with their stop bit."""
    bits.fixed(1, 1)
    bits.align()
    data, zeros = bytearray(), 0
    for byte in bits.data():
        if zeros >= 2 and byte <= 3:  # so that the data contain no start code
            data.append(3)
            zeros = 0
        data.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes([head]) + bytes(data)


def _parameter_sets(width: int, height: int, fps: int, delay: int) -> bytes:
    sequence = _Bits()
    sequence.fixed(77, 8)  # Main profile
    sequence.fixed(0, 8)
    sequence.fixed(30, 8)
    sequence.golomb(0, 0, 0, 4, 2)  # 4 bits of frame number, 8 bits of order, 2 reference frames
    sequence.fixed(0, 1)
    sequence.golomb(width // 16 - 1, height // 32 - 1)
    sequence.fixed(0b00101, 5)  # fields, no MBAFF, direct inference, no cropping, VUI ...
    sequence.fixed(0b00001, 5)  # ... with nothing but its timing
    sequence.fixed(1, 32)
    sequence.fixed(2 * fps, 32)
    sequence.fixed(0b10001, 5)  # fixed rate, no HRD, and how frames are reordered
    sequence.fixed(1, 1)
    sequence.golomb(0, 0, 9, 9, delay, 2)
    frame = _Bits()
    frame.golomb(0, 0)
    frame.fixed(0, 2)
    frame.golomb(0, 0, 0)
    frame.fixed(0, 3)
    frame.golomb(0, 0, 0)
    frame.fixed(0b100, 3)
    return _unit(0x67, sequence) + _unit(0x68, frame)


def _field(number: int, lines: npt.NDArray[np.uint8], *, bottom: bool) -> bytes:
    """Return one field of frame `number`, its samples (H, W) as they are, without color."""
    key, at = number % FRAMES_PER_KEY == 0, number % FRAMES_PER_KEY
    idr = key and not bottom
    kind = _I_SLICE if key else _P_SLICE
    bits = _Bits()
    bits.golomb(0, kind, 0)
    bits.fixed(at, 4)
    bits.fixed(2 + bottom, 2)
    if idr:
        bits.golomb(number // FRAMES_PER_KEY % 2)
    bits.fixed(2 * at + bottom, 8)
    if kind == _P_SLICE:
        bits.fixed(0, 2)
    bits.fixed(0, 2 if idr else 1)
    bits.golomb(0, 1)
    for top in range(0, lines.shape[0], 16):
        for left in range(0, lines.shape[1], 16):
            if kind == _P_SLICE:
                bits.golomb(0)
            bits.golomb(_RAW_BLOCK[kind])
            bits.align()
            samples = bytes(lines[top : top + 16, left : left + 16].tobytes()) + bytes([128]) * 128
            bits.bits += "".join(f"{sample:08b}" for sample in samples)
    return _unit(0x65 if idr else 0x61, bits)


def coded_fields(frames: int, fps: int, size: tuple[int, int], delay: int = 0) -> list[bytes]:
    """Return two fields for each frame, the first one of a key frame with what a decoder has to know.

    Args:
        frames: Number of frames.
        fps: Frames per second.
        size: Width and height.
        delay: Number of frames by which the parameters say that frames are reordered; in fact none is.
    """
    fields: list[bytes] = []
    for number in range(frames):
        lines = numbered_frame(number, *size)[..., 0]
        head = _parameter_sets(*size, fps, delay) if number % FRAMES_PER_KEY == 0 else b""
        fields += [head + _field(number, lines[0::2], bottom=False), _field(number, lines[1::2], bottom=True)]
    return fields
