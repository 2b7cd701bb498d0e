"""Clips of one source (one film, one person's recording): found by name, and kept apart in batches."""

import re
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from stica_pv.data.decoding.tar_entry import tar_entry_of
from stica_pv.errors import UsageError

KEY = "DATA.GROUP_PATTERN"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compiles DATA.GROUP_PATTERN.

    Raises:
        UsageError: It is no regular expression, or has no group.
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
    r"""Returns a number for the source of each name, equal for clips of one source; one that does not match is alone.

    The source is the text from the start of the name (relative to the root of the list) to the end of the first group:
    with ``_g(\d+)_`` the clips ``Archery/v_Archery_g01_c02`` and ``Surfing/v_Surfing_g01_c02`` differ. A group called
    ``source`` names it alone, wherever the clip lies: ``(?P<source>[\w-]{11})_\d+_\d+``. In shards the members' own
    names count, so that they have the sources of the files they were.

    Args:
        names: Names of files, or of members of shards.
        pattern: A regular expression with a group.

    Returns:
        int64 (N,), numbered from 0 in the order of first appearance.

    Raises:
        UsageError: The pattern is none, or no name matches.
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
        # No source holds a zero byte, so that those without one can be told from them.
        numbers.append(number_of.setdefault(f"\\0{len(numbers)}" if source is None else source, len(number_of)))
    if not matched:
        raise UsageError(f"{KEY} {pattern!r} matches none of the {len(numbers)} names, e.g. {last!r}")
    return np.array(numbers, np.int64)


def _up_to_first_group(name: str, found: re.Match[str]) -> str | None:
    return name[: found.end(1)] if found[1] is not None else None


def largest_batch(groups: NDArray[np.int64]) -> int:
    """Returns a batch size, the largest or nearly so, that `check_batches` passes."""
    sizes = np.bincount(groups)
    low, high = 1, len(sizes)
    while low < high:  # nearly so: the rounding of the number of batches makes exceptions
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(sizes, middle) else (low, middle - 1)
    return low


def check_batches(groups: NDArray[np.int64], batch_size: int) -> None:
    """Refuses a batch size with which an epoch cannot be filled.

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
            f"{sizes.max()}): use a pattern that tells more apart"
            + (f", or TRAIN.BATCH_SIZE {working}" if working > 1 else "")
        )


def _fits(sizes: NDArray[np.int64], batch_size: int) -> bool:
    batches = int(sizes.sum()) // batch_size
    return bool(np.minimum(sizes, batches).sum() >= batches * batch_size)


def deal_apart(order: torch.Tensor, groups: NDArray[np.int64], batch_size: int, rng: torch.Generator) -> torch.Tensor:
    """Deals videos out to batches such that no batch holds two of a source.

    Sources lie one after the other, in random order, and are dealt out in rounds: in each round every batch gets one
    video, in a new random order of the batches. A source that lies across the border of two rounds begins the second
    one with batches that it has not met in the first.

    Args:
        order: A permutation of the N videos; where a source has more videos than there are batches its first ones stay.
        groups: Source of each video, int64 (N,), for which `check_batches` passes.
        batch_size: Global batch size.
        rng: Draws the order of sources and batches.

    Returns:
        int64 (batches * batch_size,): the videos of the batches one after the other.
    """
    batches = len(groups) // batch_size
    shown = order.numpy()
    shown = shown[_place_in_group(groups[shown]) < batches][: batches * batch_size]
    turn = torch.randperm(int(groups.max()) + 1, generator=rng).numpy()[groups[shown]]
    shown = shown[np.argsort(turn, kind="stable")]
    dealt = np.empty((batches, batch_size), np.int64)
    before = np.empty(0, np.int64)
    for place in range(batch_size):
        now = slice(place * batches, (place + 1) * batches)
        to = torch.randperm(batches, generator=rng).numpy()
        if place:
            of_now, of_before = groups[shown[now]], groups[shown[now.start - batches : now.start]]
            to = _begin_apart(to, before[of_before == of_now[0]], int((of_now == of_now[0]).sum()))
        dealt[to, place] = shown[now]
        before = to
    return torch.from_numpy(dealt.reshape(-1))


def _begin_apart(to: NDArray[np.int64], met: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Moves the first `count` batches that are not among `met` to the front."""
    first = np.flatnonzero(~np.isin(to, met))[:count]
    return np.concatenate([to[first], np.delete(to, first)])


def _place_in_group(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns for each position how many earlier ones are of the same group."""
    by_group = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[by_group]) != 0])
    lengths = np.diff(np.r_[starts, len(groups)])
    places = np.empty(len(groups), np.int64)
    places[by_group] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return places
