"""The loader by itself, as a training loop outside of this package uses it."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stica_pv.data import ResumableLoader, create_loader, random_clip
from stica_pv.errors import UsageError
from stica_pv.structures import Batch

VIEWS = random_clip(frames=4, fps=8.0, size=16, sample_rate=8000)


def loader_of(folder: Path, **settings: Any) -> ResumableLoader:
    return create_loader(folder / "train.csv", VIEWS, batch_size=2, **settings)


def same(one: Batch, other: Batch) -> bool:
    # exact: the same code with the same shapes makes both
    return torch.equal(one.video["clip"], other.video["clip"]) and torch.equal(one.audio["clip"], other.audio["clip"])


def order_of(batches: list[Batch]) -> list[int]:
    return [int(index) for batch in batches for index in batch.index]


def test_a_list_becomes_batches_of_frames_audio_and_labels(clips_folder: Path):
    loader = loader_of(clips_folder)
    batches = list(loader)
    assert len(batches) == len(loader) == len(loader.videos.paths) // 2
    batch = batches[0]
    assert (batch.video["clip"].shape, batch.video["clip"].dtype) == ((2, 3, 4, 16, 16), torch.uint8)
    assert (batch.audio["clip"].shape, batch.audio["clip"].dtype) == ((2, 4000), torch.float32)
    lines = dict(line.rsplit(" ", 1) for line in (clips_folder / "train.csv").read_text().splitlines())
    assert isinstance(batch.label, Tensor)
    for index, label in zip(batch.index.tolist(), batch.label.tolist(), strict=True):
        name = Path(loader.videos.paths[index]).relative_to(clips_folder)
        assert label == int(lines[str(name)])
    again = list(loader)  # the next epoch
    assert order_of(again) != order_of(batches)
    assert not same(again[0], batch)


def test_batches_depend_neither_on_workers_nor_on_how_the_paths_are_given(clips_folder: Path):
    plain, workers = list(loader_of(clips_folder, seed=3)), loader_of(clips_folder, seed=3, num_workers=2)
    assert all(same(one, other) for one, other in zip(plain, workers, strict=True))
    videos = workers.videos
    listed = create_loader(list(videos.paths), VIEWS, batch_size=2, seed=3, labels=list(videos.labels or ()))
    assert all(same(one, other) for one, other in zip(plain, listed, strict=True))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loaded_state_yields_the_rest_of_the_epoch_and_the_next_ones(clips_folder: Path, shuffle: bool):
    straight = loader_of(clips_folder, shuffle=shuffle)
    expected = [list(straight), list(straight)]
    begun = loader_of(clips_folder, shuffle=shuffle)
    for number, _ in enumerate(begun):
        if number == 1:
            break
    resumed = loader_of(clips_folder, shuffle=shuffle)
    resumed.load_state_dict(begun.state_dict())
    rest = [list(resumed), list(resumed)]
    assert [len(one) for one in rest] == [len(straight) - 2, len(straight)]
    assert all(same(one, other) for one, other in zip(rest[0] + rest[1], expected[0][2:] + expected[1], strict=True))
    assert order_of(list(begun)) == order_of(expected[1])  # leaving an epoch early ends it


def test_a_validation_has_each_video_once_in_order_and_the_same_windows_in_each_epoch(clips_folder: Path):
    loader = create_loader(clips_folder / "train.csv", VIEWS, batch_size=3, shuffle=False)
    first = list(loader)
    assert order_of(first) == list(range(len(loader.videos.paths)))
    assert len(first) == len(loader)
    assert all(same(one, other) for one, other in zip(first, loader, strict=True))


def test_processes_share_an_epoch(clips_folder: Path):
    whole = create_loader(clips_folder / "train.csv", VIEWS, batch_size=4)
    parts = [loader_of(clips_folder, rank=rank, world_size=2) for rank in (0, 1)]
    for batch, one, other in zip(whole, *parts, strict=True):
        assert order_of([batch]) == order_of([one, other])
    parts = [loader_of(clips_folder, rank=rank, world_size=2, shuffle=False) for rank in (0, 1)]
    indices = [index for part in parts for index in order_of(list(part))]
    assert sorted(indices) == list(range(len(whole.videos.paths)))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_file_costs_one_video(clips_folder: Path, tmp_path: Path, num_workers: int):
    paths = list(loader_of(clips_folder).videos.paths)
    cut = tmp_path / "cut.mp4"
    (tmp_path / "text.mp4").write_text("no video")
    for shuffle in (True, False):
        cut.write_bytes(Path(paths[0]).read_bytes())
        given = [*paths[1:4], str(cut), str(tmp_path / "text.mp4")]
        loader = create_loader(given, VIEWS, batch_size=4, num_workers=num_workers, shuffle=shuffle)
        assert [Path(one.path).name for one in loader.excluded] == ["text.mp4"]
        cut.write_bytes(b"not a video any more")
        (batch,) = loader
        assert [Path(one.path).name for one in batch.failures] == ["cut.mp4"]
        assert order_of([batch])[:3] == [0, 1, 2] if not shuffle else len(batch) == 4


def test_wrong_input_is_one_line(clips_folder: Path, tmp_path: Path):
    (tmp_path / "text.mp4").write_text("no video")
    text, train = [str(tmp_path / "text.mp4")], clips_folder / "train.csv"
    wrong: dict[str, tuple[Any, dict[str, Any]]] = {
        "batch_size: expected at least 1, got 0": (train, {"batch_size": 0}),
        "needs more than the": (train, {"batch_size": 1000}),
        "there is no list": (tmp_path / "none.csv", {"batch_size": 1}),
        "none of the 1 files": (text, {"batch_size": 1}),
        "at least one path": ([], {"batch_size": 1}),
        "labels: expected one for each of the 1 paths, got 2": (text, {"batch_size": 1, "labels": [1, 2]}),
        "labels: a list file has its own": (train, {"batch_size": 1, "labels": [1]}),
    }
    for message, (data, settings) in wrong.items():
        with pytest.raises(UsageError, match=message):
            create_loader(data, VIEWS, **settings)
    with pytest.raises(ValueError, match="frames: expected at least 1, got 0"):
        random_clip(frames=0, fps=8.0, size=16)


def test_a_state_of_another_loader_is_refused(clips_folder: Path):
    state = loader_of(clips_folder).state_dict()
    with pytest.raises(UsageError, match="its seed is 0, that of this loader is 5"):
        loader_of(clips_folder, seed=5).load_state_dict(state)
    with pytest.raises(UsageError, match="expected step, seed, batch_size, list_hash, got nothing"):
        loader_of(clips_folder).load_state_dict({})
