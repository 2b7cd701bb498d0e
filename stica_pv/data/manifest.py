"""Facts of media files, read from their headers once and kept in a csv; what a recipe can use is decided elsewhere."""

import csv
import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream

from stica_pv.data.container import (
    failure_cause,
    header_seconds,
    local_path,
    open_container,
    picture_stream,
    scan_seconds,
    sound_stream,
)
from stica_pv.errors import UnreadableClip

_LOG = logging.getLogger(__name__)

_PROGRESS_S = 5.0
_ROUNDING_S = 1e-3

_Key = tuple[str, int, int]


@dataclass(frozen=True)
class FileFacts:
    """What the header of a file says.

    Attributes:
        path: The file, as asked for.
        size_bytes: Its size; 0 if it could not be found.
        mtime_ns: When it was last changed.
        video_seconds: How long the pictures last; 0 without.
        audio_seconds: How long the sound lasts; 0 without.
        fps: Mean number of pictures per second; 0 if unknown.
        width: Of a coded picture, before rotation, in pixels.
        height: Of a coded picture, before rotation, in pixels.
        video_codec: Empty without pictures.
        audio_codec: Empty without sound.
        audio_rate_hz: Sample rate; 0 without sound.
        audio_channels: 0 without sound.
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
    def key(self) -> _Key:
        """What the facts hold for: path, size and time of change."""
        return self.path, self.size_bytes, self.mtime_ns


_COLUMNS = tuple(field.name for field in fields(FileFacts))
_TYPES = tuple(type(value) for value in astuple(FileFacts("")))


def probe(path: str) -> FileFacts:
    """Reads the facts of a file; a bad file gives facts with an `error`, never an exception."""
    size = mtime = 0
    try:
        local = local_path(path)
        status = os.stat(local)
        size, mtime = status.st_size, status.st_mtime_ns
        with open_container(local) as container:
            return _facts(path, size, mtime, container, local)
    except UnreadableClip as error:
        return FileFacts(path, size, mtime, error=error.cause)
    except (av.FFmpegError, OSError, ValueError) as error:
        return FileFacts(path, size, mtime, error=failure_cause(path, error))


def _facts(path: str, size: int, mtime: int, container: InputContainer, local: str) -> FileFacts:
    video, audio = picture_stream(container), sound_stream(container)
    streams: list[Stream] = [stream for stream in (video, audio) if stream is not None]
    seconds = {stream.index: header_seconds(container, stream) for stream in streams}
    if None in seconds.values():
        with open_container(local) as again:
            scanned = scan_seconds(again, [again.streams[index] for index in seconds])
        seconds = {index: known or scanned.get(index) for index, known in seconds.items()}
    return FileFacts(
        path,
        size,
        mtime,
        video_seconds=round((seconds[video.index] or 0.0), 6) if video else 0.0,
        audio_seconds=round((seconds[audio.index] or 0.0), 6) if audio else 0.0,
        fps=round(float(video.average_rate or video.guessed_rate or 0), 6) if video else 0.0,
        width=video.codec_context.width if video else 0,
        height=video.codec_context.height if video else 0,
        video_codec=video.codec_context.name if video else "",
        audio_codec=audio.codec_context.name if audio else "",
        audio_rate_hz=audio.codec_context.sample_rate or 0 if audio else 0,
        audio_channels=audio.codec_context.layout.nb_channels if audio else 0,
        error=_truncation(container, streams, size),
    )


def _truncation(container: InputContainer, streams: Sequence[Stream], size: int) -> str:
    """Returns how much is missing of a file whose header (MP4, MOV) places packets beyond its end."""
    if "mp4" not in container.format.name.split(","):
        return ""
    entries = [stream.index_entries[-1] for stream in streams if len(stream.index_entries)]
    end = max((entry.pos + entry.size for entry in entries), default=0)
    return f"the file is cut short: the header promises {end} bytes, there are {size}" if end > size else ""


def probe_all(paths: Sequence[str], cache: Path | None, threads: int) -> list[FileFacts]:
    """Reads the facts of many files, those of unchanged files from a csv.

    The csv grows as files are read, whole lines at a time: a run that is stopped goes on where it was.

    Args:
        paths: Files or URIs.
        cache: The csv, created if missing; None for none.
        threads: How many files to open at a time.

    Returns:
        Facts in the order of `paths`.
    """
    known = {} if cache is None else _load(cache)
    facts: dict[str, FileFacts] = {}
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for path, key in zip(paths, pool.map(_key, paths), strict=True):
            if key in known:
                facts[path] = known[key]
        missing = [path for path in dict.fromkeys(paths) if path not in facts]
        if missing:
            _LOG.info("reading the headers of %d of %d files", len(missing), len(paths))
        fresh: list[FileFacts] = []
        last = time.monotonic()
        try:
            for done, future in enumerate(as_completed([pool.submit(probe, path) for path in missing]), start=1):
                fresh.append(future.result())
                facts[fresh[-1].path] = fresh[-1]
                if time.monotonic() - last >= _PROGRESS_S:
                    last = time.monotonic()
                    _LOG.info("read the headers of %d of %d files", done, len(missing))
                    fresh = _append(cache, fresh)
        finally:
            _append(cache, fresh)
            pool.shutdown(cancel_futures=True)
    return [facts[path] for path in paths]


def _key(path: str) -> _Key | None:
    try:
        status = os.stat(local_path(path))
    except OSError:
        return None
    return path, status.st_size, status.st_mtime_ns


def _load(cache: Path) -> dict[_Key, FileFacts]:
    """Returns the facts of a csv by key; lines that a killed run left unfinished are passed over."""
    if not cache.is_file():
        return {}
    found: dict[_Key, FileFacts] = {}
    with cache.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:  # each by itself, so that the torn one cannot swallow those after it
            row = next(csv.reader([line]), [])
            if len(row) != len(_COLUMNS) or row[1] == _COLUMNS[1]:
                continue
            try:
                facts = FileFacts(*(kind(text) for kind, text in zip(_TYPES, row, strict=True)))
            except ValueError:
                continue
            found[facts.key] = facts
    return found


def _append(cache: Path | None, facts: Iterable[FileFacts]) -> list[FileFacts]:
    """Adds whole lines in one write; returns an empty list to collect the next ones in."""
    rows = list(facts)
    if cache is not None and rows:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with cache.open("a+", newline="", encoding="utf-8", errors="surrogateescape") as file:
            file.seek(0, os.SEEK_END)
            writer = csv.writer(file, lineterminator="\n")
            if file.tell() == 0:
                writer.writerow(_COLUMNS)
            else:
                file.write("\n")  # ends a line that a killed run may have left unfinished; a blank one is passed over
            writer.writerows(astuple(row) for row in rows)
    return []


def exclusion_cause(facts: FileFacts, *, min_seconds: float, needs_audio: bool, needs_video: bool = True) -> str:
    """Returns why a recipe cannot use a file, "" if it can.

    Args:
        facts: The file.
        min_seconds: Shortest usable length of what is needed, in seconds.
        needs_audio: Whether the recipe wants sound.
        needs_video: Whether the recipe wants pictures.
    """
    if facts.error:
        return f"cannot be opened: {facts.error}"
    for needed, codec, stream, what, seconds in (
        (needs_video, facts.video_codec, "video", "picture", facts.video_seconds),
        (needs_audio, facts.audio_codec, "audio", "sound", facts.audio_seconds),
    ):
        if needed and not codec:
            return f"no {stream} stream"
        if needed and seconds < min_seconds - _ROUNDING_S:
            return f"{what} lasts {seconds:.2f} s, the recipe needs {min_seconds:.2f} s"
    return ""
