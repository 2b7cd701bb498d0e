"""Statistics of a list of videos as plain text: totals, distributions, and excluded files by cause."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.manifest.videos import short_cause
from stica_pv.safe_text import printable
from stica_pv.structures import ReadFailure

_BAR = 30  # characters of the longest bar
_ROWS = 12
_NAMED = 5


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
    shown, rest = counts[:_ROWS], sum(count for _, count in counts[_ROWS:])
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
