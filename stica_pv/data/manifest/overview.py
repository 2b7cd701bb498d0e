"""Statistics of a list of videos, as tables of counts and as text: header fields, classes, excluded files by cause."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.manifest.videos import short_cause
from stica_pv.data.sources.video_list import VideoList
from stica_pv.safe_text import printable
from stica_pv.structures import ReadFailure

BINS = 12
MOST_ROWS = 30  # rows of a table at most
NONE = "none"
_BAR = 30  # characters of the longest bar
_TEXT_ROWS = 12
_NAMED = 5


@dataclass(frozen=True)
class Counts:
    """Number of files by value.

    Attributes:
        title: Counted property.
        unit: Unit of the values; "" for names.
        names: Values, or ranges of values, as text.
        counts: Number of files for each.
    """

    title: str
    unit: str
    names: tuple[str, ...]
    counts: tuple[int, ...]


def count_headers(media_info: MediaInfoTable) -> list[Counts]:
    """Count durations, frame rates, sizes and audio rates (or missing audio) of the files that can be opened."""
    usable = media_info.take(row for row, error in enumerate(media_info.column("error")) if not error)
    sizes = [f"{w} × {h}" if w else NONE for w, h in zip(usable.column("width"), usable.column("height"), strict=True)]
    seconds = [s for s in usable.column("video_seconds") if s > 0]
    megabytes = [size / 1e6 for size in usable.column("size_bytes")]
    fps = [f"{rate:.2f}" if rate else NONE for rate in usable.column("fps")]
    rates = [str(rate) if rate else "no audio" for rate in usable.column("audio_rate_hz")]
    return [
        count_ranges("Duration of the video", "s", seconds),
        count_values("Frames per second", "1/s", fps),
        count_values("Frame size", "pixels", sizes),
        count_ranges("File size", "MB", megabytes),
        count_values("Audio sample rate", "Hz", rates),
    ]


def count_ranges(title: str, unit: str, values: Sequence[float]) -> Counts:
    """Count numbers in ranges of equal width; equal numbers make a single range."""
    if not values:
        return Counts(title, unit, (), ())
    low, high = min(values), max(values)
    if low == high:
        return Counts(title, unit, (f"{low:.4g}",), (len(values),))
    counts, edges = np.histogram(values, bins=BINS, range=(low, high))
    names = tuple(f"{begin:.3g} to {end:.3g}" for begin, end in zip(edges[:-1], edges[1:], strict=True))
    return Counts(title, unit, names, tuple(counts.tolist()))


def count_values(title: str, unit: str, values: Iterable[Any]) -> Counts:
    """Count values, the most frequent first; rare values are joined."""
    found = Counter(values).most_common()
    shown, rest = found[:MOST_ROWS], sum(count for _, count in found[MOST_ROWS:])
    rows = [*shown, (f"{len(found) - MOST_ROWS} others", rest)] if rest else shown
    return Counts(title, unit, tuple(str(name) for name, _ in rows), tuple(count for _, count in rows))


def count_classes(videos: VideoList) -> list[tuple[str, int]]:
    """Return each class with the number of its videos, the most frequent first; empty without labels."""
    if videos.tags is not None:
        labels: Iterable[int] = (tag for tags in videos.tags for tag in tags)
    elif videos.labels is not None:
        labels = videos.labels
    else:
        return []
    found = Counter(labels)
    numbers = range(len(videos.class_names)) if videos.class_names else sorted(found)
    named = [(videos.class_names[number] if videos.class_names else str(number), found[number]) for number in numbers]
    return sorted(named, key=lambda pair: -pair[1])


def describe_media_info(media_info: MediaInfoTable) -> str:
    """Return totals and distributions of all files of a list, whether a recipe can use them or not."""
    video, audio = sum(media_info.column("video_seconds")) / 3600, sum(media_info.column("audio_seconds")) / 3600
    size = sum(media_info.column("size_bytes")) / 1e9
    sizes = [
        f"{w} x {h}" if w else "none"
        for w, h in zip(media_info.column("width"), media_info.column("height"), strict=True)
    ]
    return "\n".join(
        (
            f"{len(media_info)} files, {size:.3f} GB, {video:.3f} h of video, {audio:.3f} h of audio",
            *_spread("seconds of video, rounded down", map(int, media_info.column("video_seconds")), str, sort=True),
            *_spread("frames per second", media_info.column("fps"), lambda fps: f"{fps:.2f}" if fps else "none"),
            *_spread("frame size", sizes, str),
            *_spread("video codec", media_info.column("video_codec"), lambda name: name or "none"),
            *_spread("audio codec", media_info.column("audio_codec"), lambda name: name or "none"),
            *_spread("audio rate, Hz", media_info.column("audio_rate_hz"), lambda rate: str(rate) if rate else "none"),
        )
    )


def _spread(title: str, values: Iterable[Any], name: Callable[..., str], *, sort: bool = False) -> list[str]:
    """Return a title, and a line with a bar for each frequent value, sorted by frequency or (`sort`) by value."""
    counts = Counter(values).most_common()
    shown, rest = counts[:_TEXT_ROWS], sum(count for _, count in counts[_TEXT_ROWS:])
    most = counts[0][1] if counts else 1
    rows = sorted(shown) if sort else shown
    lines = [f"  {name(value):>14} {count:>9} {'#' * round(_BAR * count / most)}".rstrip() for value, count in rows]
    return [f"{title}:", *lines, *([f"  {'others':>14} {rest:>9}"] if rest else [])]


def describe_exclusions(excluded: Sequence[ReadFailure], total: int, named: int = _NAMED) -> str:
    """Return a line for each cause with the number of its files, followed by names.

    Args:
        excluded: Files that the recipe does not use.
        total: Number of files in the list.
        named: Number of names to show per cause; 0 for all.
    """
    by_cause: dict[str, list[ReadFailure]] = defaultdict(list)
    for failure in excluded:
        by_cause[short_cause(failure.cause)].append(failure)
    lines = [f"{total - len(excluded)} of {total} files can be used by this recipe, {len(excluded)} are excluded"]
    for cause, failures in sorted(by_cause.items(), key=lambda item: -len(item[1])):
        lines.append(printable(f"  {len(failures)}: {cause}"))
        shown = failures[: named or None]
        lines += [printable(f"    {f.path}" + (f" ({f.cause})" if f.cause != cause else "")) for f in shown]
        lines += [f"    and {len(failures) - len(shown)} more"] if len(failures) > len(shown) else []
    return "\n".join(lines)
