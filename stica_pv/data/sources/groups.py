"""Groups of clips from one source (one film, one person's recording): found by name, never in the same batch."""

import re
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from stica_pv.data.decoding.tar_entry import tar_entry_of
from stica_pv.errors import UsageError

KEY = "DATA.GROUP_PATTERN"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile DATA.GROUP_PATTERN.

    Raises:
        UsageError: The pattern is no regular expression, or has no group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            rf"{KEY} {pattern!r} is no regular expression: {error}; expected one such as '_g(\d+)_'"
        ) from error
    if not compiled.groups:
        raise UsageError(rf"{KEY} {pattern!r} has no group in brackets to name the source; try '_g(\d+)_'")
    return compiled


def source_groups(names: Iterable[str], pattern: str) -> NDArray[np.int64]:
    r"""Return a number for the source of each name, equal for clips of one source; a name without a match is unique.

    The source is the text from the start of the name (relative to the root of the list) to the end of the first group:
    with ``_g(\d+)_`` the clips ``Archery/v_Archery_g01_c02`` and ``Surfing/v_Surfing_g01_c02`` differ. A group called
    ``source`` gives the source independent of the folder: ``(?P<source>[\w-]{11})_\d+_\d+``. For members of shards the
    original names are used, so that they have the same sources as the original files.

    Args:
        names: Names of files, or of members of shards.
        pattern: A regular expression with a group.

    Returns:
        int64 (N,), numbered from 0 in the order of first appearance.

    Raises:
        UsageError: The pattern is invalid, or no name matches.
    """
    compiled = compile_pattern(pattern)
    alone = "source" in compiled.groupindex
    number_of: dict[str, int] = {}
    numbers: list[int] = []
    matched, last = 0, ""
    for entry in names:
        member = tar_entry_of(entry)
        last = entry if member is None else member.name
        found = compiled.search(last)
        source = None if found is None else found["source"] if alone else _up_to_first_group(last, found)
        matched += source is not None
        # The prefix distinguishes names without a source from sources.
        numbers.append(number_of.setdefault(f"\\0{len(numbers)}" if source is None else source, len(number_of)))
    if not matched:
        raise UsageError(f"{KEY} {pattern!r} matches none of the {len(numbers)} names, e.g. {last!r}")
    return np.array(numbers, np.int64)


def _up_to_first_group(name: str, found: re.Match[str]) -> str | None:
    return name[: found.end(1)] if found[1] is not None else None


def largest_batch(groups: NDArray[np.int64]) -> int:
    """Return the largest batch size, or nearly the largest, that `check_batches` accepts."""
    sizes = np.bincount(groups)
    low, high = 1, len(sizes)
    while low < high:  # may miss the largest, as rounding of the number of batches makes exceptions
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(sizes, middle) else (low, middle - 1)
    return low


def check_batches(groups: NDArray[np.int64], batch_size: int) -> None:
    """Raise an error for a batch size with which an epoch cannot be filled.

    Args:
        groups: Source of each video, int64 (N,).
        batch_size: Global batch size, at most N.

    Raises:
        UsageError: Too many clips share a source.
    """
    sizes = np.bincount(groups)
    if not _fits(sizes, batch_size):
        working = largest_batch(groups)
        raise UsageError(
            f"{KEY}: {len(groups)} videos of {np.count_nonzero(sizes)} sources cannot fill {len(groups) // batch_size} "
            f"batches of TRAIN.BATCH_SIZE {batch_size} with at most one clip of a source in each (the largest has "
            f"{sizes.max()}): use a pattern that distinguishes more sources"
            + (f", or TRAIN.BATCH_SIZE {working}" if working > 1 else "")
        )


def _fits(sizes: NDArray[np.int64], batch_size: int) -> bool:
    batches = int(sizes.sum()) // batch_size
    return bool(np.minimum(sizes, batches).sum() >= batches * batch_size)


def deal_apart(order: torch.Tensor, groups: NDArray[np.int64], batch_size: int, rng: torch.Generator) -> torch.Tensor:
    """Distribute videos to batches such that no batch has two videos of a source.

    Videos are sorted by source, with sources in random order, and distributed in rounds: in each round every batch gets
    one video, in a new random order of the batches. A source that spans two rounds starts the second one with batches
    that it does not have in the first.

    Args:
        order: A permutation of the N videos; of a source with more videos than batches, the first ones are kept.
        groups: Source of each video, int64 (N,), accepted by `check_batches`.
        batch_size: Global batch size.
        rng: Generator for the order of sources and batches.

    Returns:
        int64 (batches * batch_size,): the videos of all batches, concatenated.
    """
    batches = len(groups) // batch_size
    videos = order.numpy()
    videos = videos[_rank_in_group(groups[videos]) < batches][: batches * batch_size]
    turn = torch.randperm(int(groups.max()) + 1, generator=rng).numpy()[groups[videos]]
    videos = videos[np.argsort(turn, kind="stable")]
    dealt = np.empty((batches, batch_size), np.int64)
    before = np.empty(0, np.int64)
    for turn_number in range(batch_size):
        now = slice(turn_number * batches, (turn_number + 1) * batches)
        to = torch.randperm(batches, generator=rng).numpy()
        if turn_number:
            of_now, of_before = groups[videos[now]], groups[videos[now.start - batches : now.start]]
            to = _begin_apart(to, before[of_before == of_now[0]], int((of_now == of_now[0]).sum()))
        dealt[to, turn_number] = videos[now]
        before = to
    return torch.from_numpy(dealt.reshape(-1))


def _begin_apart(to: NDArray[np.int64], used: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Move the first `count` batches that are not among `used` to the front."""
    first = np.flatnonzero(~np.isin(to, used))[:count]
    return np.concatenate([to[first], np.delete(to, first)])


def _rank_in_group(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each position the number of earlier ones of the same group."""
    by_group = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[by_group]) != 0])
    lengths = np.diff(np.r_[starts, len(groups)])
    ranks = np.empty(len(groups), np.int64)
    ranks[by_group] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return ranks
