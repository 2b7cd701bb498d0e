"""Caches results of earlier reads about seeking in a file, so that they are not repeated for each window."""

from collections import OrderedDict
from dataclasses import dataclass, field

from stica_pv.data.decoding.container import size_and_mtime

_MOST_FILES = 4096

_noted: "OrderedDict[tuple[str, int, int], SeekNotes]" = OrderedDict()
"""Recently used files with wrong headers or false key frames; in this process only."""


@dataclass
class SeekNotes:
    """Notes on one file; only files with a note use memory.

    Attributes:
        key: Path, size and modification time of the file.
        beyond: Number of additional time stamps to read past the end of a window.
        too_late_s: Times by the stamp of a packet: decoding from it gives no correct frame up to this time in seconds.
    """

    key: tuple[str, int, int]
    beyond: int = 0
    too_late_s: dict[int | None, float] = field(default_factory=dict)

    def note_too_late(self, stamp: int | None, time_s: float) -> None:
        """Record that decoding from the packet with this time stamp gives no correct frame up to a time."""
        self.too_late_s[stamp] = max(time_s, self.too_late_s.get(stamp, time_s))
        self._keep()

    def note_beyond(self, beyond: int) -> None:
        """Record the number of additional time stamps to read past the end of a window."""
        self.beyond = beyond
        self._keep()

    def is_too_late(self, stamp: int | None, time_s: float) -> bool:
        """Return whether decoding from the packet with this time stamp is known to give no correct frame by a time."""
        return stamp in self.too_late_s and time_s <= self.too_late_s[stamp]

    def _keep(self) -> None:
        _noted[self.key] = self
        _noted.move_to_end(self.key)
        while len(_noted) > _MOST_FILES:
            _noted.popitem(last=False)


def seek_notes(path: str) -> SeekNotes:
    """Return the notes on the current version of a local file."""
    key = (path, *size_and_mtime(path))
    return _noted.get(key) or SeekNotes(key)
