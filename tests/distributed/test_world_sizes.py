"""1, 2 and 4 processes agree on the same global batch, plainly and with gradient caching, with audio missing."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from two_processes import TASKS
from world_sizes import AUDIO_VALID, PATHS, STEPS, Notes, in_processes, rows_of, train

KINDS = ("scalars", "gradients", "buffers")
AGREED = 1e-6

Key = tuple[str, str]


@pytest.fixture(scope="module")
def one() -> dict[Key, list[Notes]]:
    """What one process notes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    notes = {(name, path): train(name, path, 0, 1) for name in TASKS for path in PATHS}
    torch.set_num_threads(threads)
    return notes


def differences(first: list[Notes], second: list[Notes]) -> Iterator[tuple[str, float]]:
    """Yields the kind and the largest difference of everything that was noted."""
    for step in range(STEPS):
        for kind in KINDS:
            assert first[step][kind].keys() == second[step][kind].keys()
            for name, value in first[step][kind].items():
                yield kind, float((second[step][kind][name].double() - value.double()).abs().max())


def largest(parts: list[dict[Key, list[Notes]]], one: dict[Key, list[Notes]], path: str) -> dict[str, float]:
    """The largest difference between any process and the single one, over all tasks, by kind."""
    found = dict.fromkeys(KINDS, 0.0)
    for notes in parts:
        for name in TASKS:
            for kind, difference in differences(one[name, path], notes[name, path]):
                found[kind] = max(found[kind], difference)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_processes_agree_in_losses_gradients_and_statistics(
    world: int, one: dict[Key, list[Notes]], tmp_path: Path
) -> None:
    parts = in_processes(world, tmp_path)
    found = {path: largest(parts, one, path) for path in PATHS}
    for path, kinds in found.items():
        figures = ", ".join(f"{kind} {value:.1e}" for kind, value in kinds.items())
        sys.stdout.write(f"\n{world} processes, {path}: {figures}")
    assert all(value <= AGREED for kinds in found.values() for value in kinds.values()), found


@pytest.mark.parametrize("name", TASKS)
def test_there_is_something_to_agree_on(name: str, one: dict[Key, list[Notes]]) -> None:
    for path in PATHS:
        for notes in one[name, path]:
            assert max(float(gradient.abs().max()) for gradient in notes["gradients"].values()) > 1e-3
            assert any("running_var" in key for key in notes["buffers"])
    shares = [one[name, path][0]["scalars"]["audio_share"].item() for path in PATHS]
    assert 0 < shares[0] < 1
    assert one[name, "plain"][0]["scalars"]["total"] != one[name, "cached"][0]["scalars"]["total"]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_processes_share_the_batch_and_some_hear_less(world: int) -> None:
    rows = [rows_of(rank, world) for rank in range(world)]
    assert sorted(index for part in rows for index in part) == list(range(len(AUDIO_VALID)))
    if world == 4:
        heard = [[AUDIO_VALID[index] for index in part[:2]] for part in rows]
        assert [0.0, 0.0] in heard
        assert [1.0, 1.0] in heard
