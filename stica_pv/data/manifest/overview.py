"""Statistics of a list of videos as tables of counts: distributions of header fields, balance of classes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.sources.video_list import VideoList

BINS = 12
MOST_ROWS = 30  # rows of a table at most
NONE = "none"


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
