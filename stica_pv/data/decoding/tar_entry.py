"""Names of files inside tar shards: ``shard.tar::offset+size::name``, with the position of their bytes.

Lists can contain such names instead of files, so that sampling, manifest and resuming are the same for both.
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
        offset: Position of its first byte.
        size: Number of bytes.
        name: Name of the file.
    """

    shard: str
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.shard}::{self.offset}+{self.size}::{self.name}"


def tar_entry_of(path: str) -> TarEntry | None:
    """Return the entry of a path in a shard, None if the path is an ordinary file."""
    found = _MEMBER.fullmatch(path) if "::" in path else None
    return TarEntry(found["shard"], int(found["offset"]), int(found["size"]), found["name"]) if found else None


def files_of(paths: Sequence[str]) -> Sequence[str]:
    """Return `file_of` of many paths."""
    return list(map(file_of, paths)) if "::" in "".join(paths) else paths


def file_of(path: str) -> str:
    """Return the file that contains a path: its shard, or the path itself."""
    member = tar_entry_of(path)
    return path if member is None else member.shard
