"""Packs the files of a list into tar shards, for storage that is slow with many small files."""

import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stica_pv.data.decoding.container import local_path
from stica_pv.data.decoding.tar_entry import TarEntry
from stica_pv.data.sources.video_list import VideoList
from stica_pv.errors import UsageError
from stica_pv.partial_file import partial_file
from stica_pv.progress import Progress


def write_shards(videos: VideoList, folder: Path, *, name: str, shard_bytes: int) -> Iterator[int]:
    """Pack the files of a list into shards, in its order, and finally write the list of their members.

    The shards have the format of WebDataset: a ``.cls`` entry next to a file holds its label.

    Args:
        videos: The list.
        folder: Folder of ``<name>-000000.tar`` … and ``<name>.csv``; created if missing.
        name: Name of the list and the shards.
        shard_bytes: Size from which on a shard is complete.

    Yields:
        The number of files written, after each shard.

    Raises:
        UsageError: The list already exists or names files twice, or a file cannot be read or a shard written.
    """
    target = folder / f"{name}.csv"
    if target.exists():
        raise UsageError(f"{target} already exists: choose another folder, or remove it and its shards")
    names = [one.lstrip("/") for one in videos.names]
    if len(set(names)) < len(names):
        raise UsageError(f"the list names {len(names) - len(set(names))} files twice; remove the repeated lines")
    lines: list[str] = []
    number = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Progress("packing", len(names)) as progress:
            while len(lines) < len(names):
                shard = folder / f"{name}-{number:06d}.tar"
                lines += _write_shard(videos, names, len(lines), shard, shard_bytes, progress)
                number += 1
                yield len(lines)
        with partial_file(target) as partial:
            partial.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"cannot write {name}.csv and its shards to {folder}: {error.strerror or error}") from error


def _write_shard(
    videos: VideoList, names: Sequence[str], begin: int, path: Path, shard_bytes: int, progress: Progress
) -> list[str]:
    """Write files from `begin` on until the shard is full; return their lines for the list."""
    lines: list[str] = []
    with (
        partial_file(path) as partial,
        tarfile.open(partial, "w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar,
    ):
        for index in range(begin, len(names)):
            if tar.offset > shard_bytes:
                break
            member = _add(tar, videos.paths[index], names[index], path.name)
            label = None if videos.labels is None else videos.labels[index]
            if label is not None:
                _add_text(tar, f"{os.path.splitext(names[index])[0]}.cls", str(label))
            lines.append(f"{member}\n" if label is None else f"{member} {label}\n")
            progress.add()
    return lines


def _add(tar: tarfile.TarFile, path: str, name: str, shard: str) -> TarEntry:
    """Copy a file into a shard and return its entry."""
    try:
        with open(local_path(path), "rb") as file:
            info = tarfile.TarInfo(name)
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, file)
    except OSError as error:
        raise UsageError(f"cannot copy {path} into {shard}: {error.strerror or error}") from error
    end_of_data = -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return TarEntry(shard, tar.offset - end_of_data, info.size, name)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(text)
    tar.addfile(info, io.BytesIO(text.encode()))
