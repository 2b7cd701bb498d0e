from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from made_clips import FRAMES, RATE_HZ, FakeReader, cut, sample_windows, two_views
from torch import Tensor

from stica_pv.data.loading.collate import Sample
from stica_pv.data.loading.dataset import MAX_ATTEMPTS, ClipDataset
from stica_pv.structures import Clip, ClipRequest, ReadFailure, SampleKey, Views, ViewSpec, Window

COUNT = 20
BAD = {"3.mp4": "torn", "7.mp4": "no key frame"}


def make(reader: FakeReader | None = None, views: Views | None = None, **settings: Any) -> ClipDataset:
    paths = [f"{i}.mp4" for i in range(COUNT)]
    durations = [2.0 + i for i in range(COUNT)]
    return ClipDataset(paths, durations, views or two_views(), reader=reader or FakeReader(), **{"seed": 1, **settings})


def sample(dataset: ClipDataset, index: int, epoch: int = 0) -> Sample:
    found = dataset[SampleKey(epoch, index)]
    assert isinstance(found, Sample)
    return found


def same(first: Sample, second: Sample) -> bool:
    tensors = [({**s.video, **s.audio}) for s in (first, second)]
    plain = [replace(s, video={}, audio={}) for s in (first, second)]
    # exact: the same code with the same shapes, twice
    equal = all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    return plain[0] == plain[1] and tensors[0].keys() == tensors[1].keys() and equal


def test_a_sample_holds_every_view_and_its_audio():
    found = sample(make(labels=list(range(100, 120))), 5)
    assert {name: tuple(v.shape) for name, v in found.video.items()} == {"a": (3, FRAMES, 4, 4), "b": (3, FRAMES, 3, 3)}
    assert {name: tuple(v.shape) for name, v in found.audio.items()} == {"a": (RATE_HZ,)}
    assert (found.index, found.label, found.failures, found.audio_valid) == (5, 105, (), {"a": 1.0})
    assert found.video["a"][0, :, 1, 1].tolist() == [50, 51, 52, 53]


def test_views_of_one_window_are_read_once_and_cut_by_draws_of_their_own():
    reader = FakeReader()
    cuts = [sample(make(reader), i).video for i in range(COUNT)]
    assert len(reader.calls) == COUNT
    assert all(list(requests) == ["clip"] for _, requests in reader.calls)
    assert any(int(c["a"][0, 0, 0, 0]) != int(c["b"][0, 0, 0, 0]) for c in cuts)


def test_the_request_joins_the_frame_of_one_view_and_the_audio_of_another():
    reader = FakeReader()
    first, second = two_views().specs
    specs = replace(first, audio=None), replace(second, audio=first.audio)
    mixed = Views(specs, sample_windows, 1, True)
    sample(make(reader, mixed), 2)
    request = reader.calls[0][1]["clip"]
    assert (request.frames, request.fps, request.audio_rate_hz) == (FRAMES, 4.0, RATE_HZ)


def test_equal_keys_give_equal_samples_whatever_came_before():
    first, second = make(), make()
    list(map(second.__getitem__, [SampleKey(0, i) for i in (3, 1, 4)]))
    torch.rand(5)
    assert all(same(sample(first, i), sample(second, i)) for i in range(COUNT))


def test_another_epoch_or_seed_samples_another_window():
    starts = set()
    for settings, epoch in (({}, 0), ({}, 1), ({"seed": 2}, 0)):
        reader = FakeReader()
        sample(make(reader, **settings), 19, epoch)
        starts.add(reader.calls[0][1]["clip"].window.start_s)
    assert len(starts) == 3
    assert all(0 <= start <= 20 for start in starts)


def test_a_file_that_fails_is_replaced_by_the_key_alone_and_named_with_its_cause():
    first, second = sample(make(FakeReader(BAD)), 3), sample(make(FakeReader(BAD)), 3)
    assert same(first, second)
    assert first.index != 3
    assert first.failures == (ReadFailure("3.mp4", "torn"),)
    assert first.video["a"][0, 0, 1, 1] == 10 * first.index


def test_replacements_differ_between_epochs():
    assert len({sample(make(FakeReader(BAD)), 3, epoch).index for epoch in range(8)}) > 3


def test_a_replacement_that_fails_is_replaced_too_and_both_are_named():
    good = FakeReader({f"{i}.mp4": "gone" for i in range(1, COUNT)})
    failures = [len(sample(make(good), 5, epoch).failures) for epoch in range(40) if not failed(good, 5, epoch)]
    assert failures
    assert max(failures) > 1
    assert 0 not in failures


def failed(reader: FakeReader, index: int, epoch: int) -> bool:
    return isinstance(make(reader)[SampleKey(epoch, index)], ReadFailure)


def test_when_all_replacements_fail_the_sample_is_a_failure_that_names_the_first():
    found = make(FakeReader({f"{i}.mp4": "gone" for i in range(COUNT)}))[SampleKey(0, 4)]
    assert isinstance(found, ReadFailure)
    assert found.path == "4.mp4"
    assert found.cause == f"gone; so did {MAX_ATTEMPTS - 1} replacements: check the disk"


def test_evaluation_replaces_nothing():
    reader = FakeReader(BAD)
    assert make(reader, replace_failures=False)[SampleKey(0, 7)] == ReadFailure("7.mp4", "no key frame")
    assert len(reader.calls) == 1


def test_audio_that_cannot_be_decoded_counts_as_a_failure_only_where_audio_is_needed():
    silent = FakeReader(silent=("2.mp4",))
    assert "no audio can be decoded" in sample(make(silent), 2).failures[0].cause
    kept = sample(make(silent, two_views(needs_audio=False)), 2)
    assert (kept.index, kept.failures, kept.audio_valid) == (2, (), {"a": 0.0})


def test_a_reversed_view_runs_backwards_in_frame_and_audio():
    found = sample(make(views=two_views(reverse_second=True)), 1)
    assert found.video["a"][0, :, 1, 1].tolist() == [10, 11, 12, 13]
    assert found.video["b"][0, :, 1, 1].tolist() == [13, 12, 11, 10]
    assert torch.equal(found.audio["b"], found.audio["a"].flip(0))  # exact: copied, not calculated


def test_a_frame_that_is_shown_twice_is_cut_once_and_returned_at_each_time():
    cut_lengths = []

    def counting_cut(frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        cut_lengths.append(frames.shape[1])
        return cut(frames, size, rng)

    def show_twice(path: str, requests: Mapping[str, ClipRequest]) -> dict[str, Clip]:
        return {n: replace(c, frame_index=torch.tensor([0, 1, 1, 3])) for n, c in FakeReader()(path, requests).items()}

    views = two_views(reverse_second=True)
    views = replace(views, specs=tuple(replace(spec, transform=counting_cut) for spec in views.specs))
    found = sample(make(show_twice, views), 1)
    assert found.video["a"][0, :, 1, 1].tolist() == [10, 11, 11, 13]
    assert found.video["b"][0, :, 1, 1].tolist() == [13, 11, 11, 10]
    assert cut_lengths == [4, 4]


def test_a_view_of_audio_alone_has_no_frame():
    spec = ViewSpec("s", "w", 0, 0.0, 0, None, audio=two_views().specs[0].audio)
    views = Views((spec,), lambda duration, rng: {"w": Window(0.0, 0.5, "loop")}, 0.0, True)
    found = sample(make(views=views), 1)
    assert found.video == {}
    assert found.audio["s"].shape == (50,)


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        make(labels=[1, 2])
