"""Two processes read each video of a list once between them, and both know the features that one process finds."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from made_videos import Colours, FakeReader, videos
from torch.multiprocessing import start_processes

from stica_pv.evaluation import extract

LENGTHS = (1, 2, 7, 8)  # of lists: fewer than processes, one each, one left over, and batches of equal size
BATCH_SIZE = 3
WORLD = 2


def features_of(length: int) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Files read here, features and labels of a whole list."""
    reader = FakeReader()
    dataset = videos(length, reader=reader)
    found = extract({"c": Colours()}, dataset, device=torch.device("cpu"), batch_size=BATCH_SIZE, num_workers=0)["c"]
    return reader.paths, found.features, found.labels


def look(rank: int, folder: str) -> None:
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD, timeout=timedelta(minutes=2))
    try:
        torch.save({length: features_of(length) for length in LENGTHS}, Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[int, Any]]:
    folder = tmp_path_factory.mktemp("two-processes")
    start_processes(look, args=(str(folder),), nprocs=WORLD, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("length", LENGTHS)
def test_each_video_is_read_once_by_one_and_by_two_processes(length: int, seen: list[dict[int, Any]]):
    names = [f"{number}.mp4" for number in range(length)]
    assert sorted(features_of(length)[0]) == names
    assert sorted(path for process in seen for path in process[length][0]) == names


@pytest.mark.parametrize("length", LENGTHS)
def test_every_process_knows_the_features_that_one_process_finds(length: int, seen: list[dict[int, Any]]):
    _, features, labels = features_of(length)
    for process in seen:
        torch.testing.assert_close(process[length][1], features, rtol=0, atol=1e-6)
        assert torch.equal(process[length][2], labels)
