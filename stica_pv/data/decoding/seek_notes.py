"""What earlier reads of a file found out about seeking in it, so that each window need not find it out again."""

from collections import OrderedDict
from dataclasses import dataclass, field

from stica_pv.data.decoding.container import size_and_mtime

_MOST_FILES = 4096

_noted: "OrderedDict[tuple[str, int, int], SeekNotes]" = OrderedDict()
"""The files whose headers or key frames are not what they say, the last used ones; of this process only."""


@dataclass
class SeekNotes:
    """Of one file; only files with a note take memory.

    Attributes:
        key: The file, by path, size and time of change.
        beyond: How many more time stamps must be read past the end of a window.
        too_late_s: By time stamp of a packet: decoding from it gives no right frame up to this time in seconds.
    """

    key: tuple[str, int, int]
    beyond: int = 0
    too_late_s: dict[int | None, float] = field(default_factory=dict)

    def note_too_late(self, stamp: int | None, time_s: float) -> None:
        """Notes that decoding from the packet with this stamp gives no right frame up to a time."""
        self.too_late_s[stamp] = max(time_s, self.too_late_s.get(stamp, time_s))
        self._keep()

    def note_beyond(self, beyond: int) -> None:
        """Notes how many more time stamps must be read past the end of a window."""
        self.beyond = beyond
        self._keep()

    def is_too_late(self, stamp: int | None, time_s: float) -> bool:
        """Says whether decoding from the packet with this stamp is known to give no right frame up to a time."""
        return stamp in self.too_late_s and time_s <= self.too_late_s[stamp]

    def _keep(self) -> None:
        _noted[self.key] = self
        _noted.move_to_end(self.key)
        while len(_noted) > _MOST_FILES:
            _noted.popitem(last=False)


def seek_notes(path: str) -> SeekNotes:
    """Returns the notes on a local file as it is now."""
    key = (path, *size_and_mtime(path))
    return _noted.get(key) or SeekNotes(key)
