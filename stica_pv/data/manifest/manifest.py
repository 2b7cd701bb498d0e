"""Media information of files, read once from their headers and cached in a csv; and reasons to exclude files."""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream

from stica_pv.data.decoding.container import (
    audio_stream,
    failure_cause,
    header_seconds,
    local_path,
    open_container,
    scan_seconds,
    size_and_mtime,
    video_stream,
)
from stica_pv.data.decoding.stream_checks import StreamKind, absence_cause, decodable, undecodable_codec
from stica_pv.data.isolation.worker_pool import answer_all
from stica_pv.data.isolation.worker_process import TIMED_OUT, WorkerFailure
from stica_pv.data.manifest.manifest_csv import append_media_info, load_media_info
from stica_pv.data.manifest.media_info import MediaInfo, MediaInfoTable
from stica_pv.data.manifest.staleness import changed_files, stamp
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.progress import Progress

__all__ = ["MediaInfoTable", "MediaInfo", "exclusion_cause", "exclusion_causes", "probe", "probe_all"]

_LOG = logging.getLogger(__name__)

_WRITE_PERIOD_S = 5.0
_ROUNDING_S = 1e-3
_TIMEOUT_S = 60.0  # time limit per header; if a header gives no length, all packets of the file are read
_TIMEOUTS_IN_A_ROW = 16


def probe(path: str) -> MediaInfo:
    """Read the media information of a file; a bad file gives one with an `error`, never an exception."""
    size = mtime = 0
    try:
        local = local_path(path)
        size, mtime = size_and_mtime(local)
        with open_container(local) as container:
            return _media_info(path, size, mtime, container, local)
    except UnreadableClip as error:
        return MediaInfo(path, size, mtime, error=error.cause)
    except (av.FFmpegError, OSError, ValueError) as error:
        return MediaInfo(path, size, mtime, error=failure_cause(path, error))


def _media_info(path: str, size: int, mtime: int, container: InputContainer, local: str) -> MediaInfo:
    video, audio = video_stream(container), audio_stream(container)
    streams: list[Stream] = [stream for stream in (video, audio) if stream is not None]
    seconds = {stream.index: header_seconds(container, stream) for stream in streams}
    if None in seconds.values():
        with open_container(local) as again:
            scanned = scan_seconds(again, [again.streams[index] for index in seconds])
        seconds = {index: known or scanned.get(index) for index, known in seconds.items()}
    return MediaInfo(
        path,
        size,
        mtime,
        video_seconds=round((seconds[video.index] or 0.0), 6) if video else 0.0,
        audio_seconds=round((seconds[audio.index] or 0.0), 6) if audio else 0.0,
        fps=round(float(video.average_rate or video.guessed_rate or 0), 6) if video else 0.0,
        width=video.codec_context.width if video else 0,
        height=video.codec_context.height if video else 0,
        video_codec=video.codec_context.name if video else undecodable_codec(local, container, "video"),
        audio_codec=audio.codec_context.name if audio else undecodable_codec(local, container, "audio"),
        audio_rate_hz=audio.codec_context.sample_rate or 0 if audio else 0,
        audio_channels=audio.codec_context.layout.nb_channels if audio else 0,
        error=_truncation(container, streams, size),
    )


def _truncation(container: InputContainer, streams: Sequence[Stream], size: int) -> str:
    """Return how much is missing of a file whose header (MP4, MOV) lists packets beyond its end."""
    if "mp4" not in container.format.name.split(","):
        return ""
    entries = [stream.index_entries[-1] for stream in streams if len(stream.index_entries)]
    end = max((entry.pos + entry.size for entry in entries), default=0)
    return f"the file is cut short: the header promises {end} bytes, there are {size}" if end > size else ""


def probe_all(paths: Sequence[str], cache: Path | None, processes: int, *, trust: bool = False) -> MediaInfoTable:
    """Return the media information of many files, for unchanged files from a csv.

    The csv grows by whole lines as files are read, so an interrupted scan continues where it stopped. A file is
    unchanged if its size and modification time are; for a URI, those of its local copy. On Linux a header that hangs or
    crashes its reader costs one worker process, and is recorded as the `error` of its file.

    Args:
        paths: Files or URIs.
        cache: The csv, created if missing; None for none.
        processes: Number of files to open at a time.
        trust: Whether to use the csv without checking the files, because another process has just checked them.

    Returns:
        Media information in the order of `paths`.

    Raises:
        UsageError: Many consecutive headers hang, so the files are not the cause; or the csv cannot be written.
    """
    wanted = list(paths)  # each access to `CompactStrings` makes a new string
    table = MediaInfoTable() if cache is None else load_media_info(cache)
    row_of = dict(zip(table.column("path"), range(len(table)), strict=True))  # the last line of a file counts
    rows = list(map(row_of.get, wanted))
    changed = [] if trust else changed_files(table, wanted, rows)
    _log_changed(table, [(wanted[position], rows[position]) for position in changed])
    for position in changed:
        rows[position] = None
    known = [row for row in rows if row is not None]
    if len(known) == len(wanted):
        return table.take(known)
    missing = list(dict.fromkeys(path for path, row in zip(wanted, rows, strict=True) if row is None))
    _LOG.info("reading the headers of %d of %d files", len(missing), len(paths))
    with Progress("headers", len(missing)) as progress:
        for info in _probe_missing(missing, cache, processes):
            row_of[info.path] = len(table)
            table.append(info)
            progress.add()
    return table.take(list(map(row_of.__getitem__, wanted)))


def _log_changed(table: MediaInfoTable, changed: Sequence[tuple[str, int | None]]) -> None:
    """Log which files have changed since they were recorded in the manifest; a resumed run uses the new ones."""
    others = [(path, table[row].size_bytes, stamp(path)[0]) for path, row in changed if row is not None]
    present = [(path, before, now) for path, before, now in others if now]
    if present:
        path, before, now = present[0]
        _LOG.warning(
            "%d files have changed since the manifest was written (size or modification time), e.g. %s, %d bytes then "
            "and %d now: their headers are read again, and a resumed run uses the new files",
            len(present), path, before, now,
        )  # fmt: skip


def _probe_missing(missing: Sequence[str], cache: Path | None, processes: int) -> Iterator[MediaInfo]:
    """Yield media information as files are read, and write it to the csv every few seconds and at the end."""
    fresh: list[MediaInfo] = []
    last = time.monotonic()
    try:
        for info in _probe_each(missing, processes):
            fresh.append(info)
            yield info
            now = time.monotonic()
            if now - last >= _WRITE_PERIOD_S:
                last = now
                _keep(cache, fresh)
                fresh = []
    finally:
        _keep(cache, fresh)


def _probe_each(paths: Sequence[str], processes: int) -> Iterator[MediaInfo]:
    """Yield media information in the order of completion."""
    late: list[MediaInfo] = []
    for path, info in answer_all(probe, paths, processes=processes, timeout_s=_TIMEOUT_S):
        if not isinstance(info, WorkerFailure):
            yield info
        elif not info.cause.startswith(TIMED_OUT):
            yield MediaInfo(path, *stamp(path), error=info.cause)
        else:  # held back: a disk that does not answer must not be recorded as an error of its files
            late.append(MediaInfo(path, *stamp(path), error=info.cause))
            if len(late) >= _TIMEOUTS_IN_A_ROW:
                raise UsageError(
                    f"{len(late)} consecutive headers: {info.cause}; the last is {path}: "
                    "check that the disk is available"
                )
            continue
        yield from late
        late = []
    yield from late


def _keep(cache: Path | None, infos: Sequence[MediaInfo]) -> None:
    if cache is None:
        return
    try:
        append_media_info(cache, infos)
    except OSError as error:
        raise UsageError(
            f"cannot write the manifest {cache}: {error.strerror}; set DATA.MANIFEST to another path"
        ) from error


def exclusion_causes(table: MediaInfoTable, *, min_seconds: float, needs_audio: bool) -> dict[int, str]:
    """Return the cause by row for each file that a recipe cannot use; see `exclusion_cause`."""
    limit = min_seconds - _ROUNDING_S
    columns = (table.column(name) for name in ("error", "video_codec", "video_seconds", "audio_codec", "audio_seconds"))
    doubtful = (
        row
        for row, (error, video, video_s, audio, audio_s) in enumerate(zip(*columns, strict=True))
        # Most files are usable: they are skipped here, and causes are described for the rest only.
        if error
        or not decodable(video)
        or video_s < limit
        or (needs_audio and (not decodable(audio) or audio_s < limit))
    )
    return {row: exclusion_cause(table[row], min_seconds=min_seconds, needs_audio=needs_audio) for row in doubtful}


def exclusion_cause(info: MediaInfo, *, min_seconds: float, needs_audio: bool, needs_video: bool = True) -> str:
    """Return why a recipe cannot use a file, "" if it can.

    Args:
        info: The file.
        min_seconds: Shortest usable duration of the needed streams, in seconds.
        needs_audio: Whether the recipe needs audio.
        needs_video: Whether the recipe needs frames.
    """
    if info.error:
        return f"cannot be opened: {info.error}"
    needs: tuple[tuple[bool, str, StreamKind, float], ...] = (
        (needs_video, info.video_codec, "video", info.video_seconds),
        (needs_audio, info.audio_codec, "audio", info.audio_seconds),
    )
    for needed, codec, kind, seconds in needs:
        if needed and not decodable(codec):
            return absence_cause(kind, codec)
        if needed and seconds < min_seconds - _ROUNDING_S:
            return f"{kind} lasts {seconds:.2f} s, the recipe needs {min_seconds:.2f} s"
    return ""
