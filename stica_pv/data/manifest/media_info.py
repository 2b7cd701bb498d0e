"""Facts of media files: of one file as a value, of many as columns."""

import json
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, overload

import numpy as np

Key = tuple[str, int, int]


@dataclass(frozen=True)
class MediaInfo:
    """What the header of a file says.

    Attributes:
        path: The file, as asked for.
        size_bytes: Its size; 0 if it could not be found.
        mtime_ns: When it was last changed.
        video_seconds: How long the frames last; 0 without.
        audio_seconds: How long the audio lasts; 0 without.
        fps: Mean number of frames per second; 0 if unknown.
        width: Of a coded frame, before rotation, in pixels.
        height: Of a coded frame, before rotation, in pixels.
        video_codec: Empty without frames; "?" and the tag of its codec where it cannot be decoded.
        audio_codec: Empty without audio; as `video_codec`.
        audio_rate_hz: Sample rate; 0 without audio.
        audio_channels: 0 without audio.
        error: Why the file cannot be used at all; empty if it can.
    """

    path: str
    size_bytes: int = 0
    mtime_ns: int = 0
    video_seconds: float = 0.0
    audio_seconds: float = 0.0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    video_codec: str = ""
    audio_codec: str = ""
    audio_rate_hz: int = 0
    audio_channels: int = 0
    error: str = ""

    @property
    def key(self) -> Key:
        """What the facts hold for: path, size and time of change."""
        return self.path, self.size_bytes, self.mtime_ns


COLUMNS = tuple(field.name for field in fields(MediaInfo))
_KINDS = tuple(type(value) for value in astuple(MediaInfo("")))


class MediaInfoTable(Sequence[MediaInfo]):
    """Facts of many files, column by column: a twentieth of the memory and time of as many `MediaInfo`."""

    def __init__(self, facts: Iterable[MediaInfo] = ()) -> None:
        """Takes facts, in order."""
        self._columns: list[Any] = [_empty(kind) for kind in _KINDS]
        for one in facts:
            self.append(one)

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, index: int) -> MediaInfo: ...

    @overload
    def __getitem__(self, index: slice) -> "MediaInfoTable": ...

    def __getitem__(self, index: int | slice) -> "MediaInfo | MediaInfoTable":
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return MediaInfo(*(column[index] for column in self._columns))

    def column(self, name: str) -> Sequence[Any]:
        """Returns one fact of all files, e.g. ``column("fps")``."""
        return self._columns[COLUMNS.index(name)]

    def append(self, facts: MediaInfo) -> None:
        """Adds a file."""
        for column, value in zip(self._columns, astuple(facts), strict=True):
            column.append(value)

    def extend_from_text(self, columns: Sequence[Sequence[str]]) -> None:
        """Adds columns of texts in the order of `COLUMNS`; no columns add nothing.

        Raises:
            ValueError: A number of some row is none; then nothing is added.
        """
        if columns:
            read = [parse(cells) for parse, cells in zip(_PARSERS, columns, strict=True)]
            for column, values in zip(self._columns, read, strict=True):
                column.extend(values)

    def take(self, rows: Iterable[int]) -> "MediaInfoTable":
        """Returns the facts of some rows, in the order given."""
        order, taken = np.fromiter(rows, np.int64), MediaInfoTable()
        whole = np.array_equal(order, np.arange(len(self)))
        for column, to in zip(self._columns, taken._columns, strict=True):
            if whole:
                to.extend(column)
            elif isinstance(column, list):
                to.extend(map(column.__getitem__, order.tolist()))
            else:
                to.frombytes(np.asarray(column)[order].tobytes())
        return taken


def _empty(kind: type) -> Any:
    return [] if kind is str else array("q" if kind is int else "d")


def _parser(name: str, kind: type) -> Callable[[Sequence[str]], Any]:
    """Returns what makes a column of texts."""
    if name == "path":
        return list
    if kind is str:
        return lambda cells: list(map(sys.intern, cells))  # the same few codecs stand in every row: one object each
    if kind is float:
        return lambda cells: array("d", map(float, cells))
    return _whole_numbers


def _whole_numbers(cells: Sequence[str]) -> Any:
    try:
        return array("q", json.loads(f"[{','.join(cells)}]"))  # half the time of int(), one after the other
    except (TypeError, OverflowError) as error:
        raise ValueError(f"not all whole numbers of 64 bits: {error}") from error


_PARSERS = tuple(_parser(name, kind) for name, kind in zip(COLUMNS, _KINDS, strict=True))
