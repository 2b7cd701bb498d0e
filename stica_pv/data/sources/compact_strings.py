"""Many short strings in two blocks of memory, e.g. a list of a million paths that loader workers share."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

_CODING = ("utf-8", "surrogateescape")  # names of files may hold any bytes


class CompactStrings(Sequence[str]):
    """An immutable sequence of strings, in one block of bytes and one of positions.

    A list keeps an object for each string, with about 50 more bytes and a reference count that is written at each use.
    So forked workers finally copy all of its memory, and sending it to spawned workers is slow. Here workers share both
    blocks, and pickling copies them directly.
    """

    __slots__ = ("_ends", "_text")
    _text: bytes
    _ends: "array[int]"

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Copy the strings."""
        if isinstance(texts, CompactStrings):  # immutable, so both can share the blocks
            self._text, self._ends = texts._text, texts._ends
            return
        items = texts if isinstance(texts, list | tuple) else list(texts)
        whole = "".join(items)
        coded = items if whole.isascii() else [item.encode(*_CODING) for item in items]  # ASCII has a byte a character
        self._text, self._ends = whole.encode(*_CODING), array("q", accumulate(map(len, coded)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> "CompactStrings": ...

    def __getitem__(self, index: int | slice) -> "str | CompactStrings":
        if isinstance(index, slice):
            return CompactStrings(self[i] for i in range(*index.indices(len(self))))
        end = self._ends[index]  # raises IndexError as a list does
        position = index % len(self)
        return self._text[self._ends[position - 1] if position else 0 : end].decode(*_CODING)

    def __iter__(self) -> Iterator[str]:
        start = 0
        if self._text.isascii():  # decoded all at once, in half the time
            whole = self._text.decode("ascii")
            for end in self._ends:
                yield whole[start:end]
                start = end
            return
        for end in self._ends:
            yield self._text[start:end].decode(*_CODING)
            start = end

    def __eq__(self, other: object) -> bool:
        """Return whether the strings are equal; also compares with a tuple or a list."""
        if isinstance(other, CompactStrings):
            return self._text == other._text and self._ends == other._ends
        if isinstance(other, tuple | list):
            return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # like a list, to which it may be equal

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"CompactStrings({len(self)}: {shown}{', …' if len(self) > 3 else ''})"

    @property
    def size_bytes(self) -> int:
        """Memory of the two blocks."""
        return len(self._text) + len(self._ends) * self._ends.itemsize
