"""Finds files of a list with the same content under different names."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence

from stica_pv.data.decoding.container import local_path
from stica_pv.data.decoding.tar_entry import tar_entry_of
from stica_pv.progress import Progress
from stica_pv.safe_text import printable

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20


def find_duplicates(
    paths: Sequence[str], sizes: Sequence[int], digest: Callable[[str], str] | None = None
) -> dict[int, int]:
    """Find files with equal content; read only files that share their size with another one.

    Args:
        paths: Files, or members of shards.
        sizes: Size of each in bytes; 0 for a file that is not accessible, which then counts as unique.
        digest: Function from a path to a hash of its content, "" if it cannot be read; default: `content_digest`.

    Returns:
        Row of each duplicate, mapped to the row of the first file with the same content.
    """
    digest = digest or content_digest
    same_size = defaultdict(list)
    for row, size in enumerate(sizes):
        if size:
            same_size[size].append(row)
    compared = {size: rows for size, rows in same_size.items() if len(rows) > 1}
    duplicates: dict[int, int] = {}
    with Progress("comparison of files", sum(map(len, compared.values()))) as progress:
        for size, rows in compared.items():
            first: dict[str, int] = {}
            for row in rows:
                found = digest(paths[row])
                if found and first.setdefault(f"{size} {found}", row) != row:
                    duplicates[row] = first[f"{size} {found}"]
                progress.add()
    return duplicates


def content_digest(path: str) -> str:
    """Return a hash of a file's bytes; "" if it cannot be read, which the manifest records."""
    member = tar_entry_of(path)
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(local_path(member.shard if member else path), "rb") as file:
            file.seek(member.offset if member else 0)
            left = member.size if member else -1
            while left and (block := file.read(min(_BLOCK_BYTES, left) if left > 0 else _BLOCK_BYTES)):
                digest.update(block)
                left -= len(block) if left > 0 else 0
    except OSError as error:
        logger.info("%s is not compared with others: %s", printable(path), error.strerror or error)
        return ""
    return digest.hexdigest()
