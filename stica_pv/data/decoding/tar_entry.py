"""Names of files inside tar shards: ``shard.tar::offset+size::name``, with the place of their bytes.

Such names stand in a list like those of files, so that sampling, manifest and resuming are the same for both.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MEMBER = re.compile(r"(?P<shard>.+?)::(?P<offset>\d+)\+(?P<size>\d+)::(?P<name>.+)", re.DOTALL)


@dataclass(frozen=True)
class TarEntry:
    """A file in a shard.

    Attributes:
        shard: The tar file.
        offset: Where its bytes begin.
        size: How many there are.
        name: Its own name.
    """

    shard: str
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.shard}::{self.offset}+{self.size}::{self.name}"


def tar_entry_of(path: str) -> TarEntry | None:
    """Returns what a path says of a member of a shard, None if it is a file of its own."""
    found = _MEMBER.fullmatch(path) if "::" in path else None
    return TarEntry(found["shard"], int(found["offset"]), int(found["size"]), found["name"]) if found else None


def files_of(paths: Sequence[str]) -> Sequence[str]:
    """Returns `file_of` of many paths."""
    return list(map(file_of, paths)) if "::" in "".join(paths) else paths


def file_of(path: str) -> str:
    """Returns the file that holds a path: its shard, or itself."""
    member = tar_entry_of(path)
    return path if member is None else member.shard
