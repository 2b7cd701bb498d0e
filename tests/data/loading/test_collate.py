from typing import Any

import torch
from made_clips import FRAMES, FakeReader, two_views

from stica_pv.data.loading.collate import Sample, collate, shared_bytes
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.shared_memory import Segment
from stica_pv.structures import Batch, ReadFailure, SampleKey

COUNT = 20
BAD = {"3.mp4": "torn", "7.mp4": "no key frame"}


def samples_of(*indices: int, reader: FakeReader | None = None, **settings: Any) -> list[Sample]:
    paths = [f"{i}.mp4" for i in range(COUNT)]
    dataset = ClipDataset(paths, [3.0] * COUNT, two_views(), reader=reader or FakeReader(), seed=1, **settings)
    found = [dataset[SampleKey(0, index)] for index in indices]
    return [one for one in found if isinstance(one, Sample)]


def test_collate_stacks_samples_in_order_and_gathers_failures():
    batch = collate(samples_of(3, 5, 7, reader=FakeReader(BAD), labels=range(COUNT)))
    assert isinstance(batch, Batch)
    assert batch.video["a"].shape == (3, 3, FRAMES, 4, 4)
    assert batch.label is not None
    assert batch.label.tolist() == batch.index.tolist()
    assert batch.index[1] == 5
    assert [failure.path for failure in batch.failures][:1] == ["3.mp4"]
    assert {failure.path for failure in batch.failures} == {"3.mp4", "7.mp4"}


def test_collate_keeps_frames_as_they_lie_in_memory():
    samples = samples_of(3, 5)
    batch = collate(samples)
    assert isinstance(batch, Batch)
    for name, video in batch.video.items():
        assert video.is_contiguous(memory_format=torch.channels_last_3d)
        # exact: copied, not calculated
        torch.testing.assert_close(video, torch.stack([one.video[name] for one in samples]), rtol=0, atol=0)


def test_collate_writes_all_views_to_the_memory_that_it_is_given():
    samples = samples_of(3, 5)
    elsewhere, segment = collate(samples), Segment(*shared_bytes(samples))
    batch = collate(samples, segment.empty)
    for views, plain in ((batch.video, elsewhere.video), (batch.audio, elsewhere.audio)):
        for name, view in views.items():
            assert segment.holds(view)
            assert not segment.holds(plain[name])
            torch.testing.assert_close(view, plain[name], rtol=0, atol=0)  # exact: copied, not calculated
    segment.close()


def test_collate_of_an_unlabelled_list_has_no_labels():
    batch = collate(samples_of(0))
    assert isinstance(batch, Batch)
    assert batch.label is None


def test_collate_passes_a_failure_on():
    failure = ReadFailure("a.mp4", "gone")
    assert collate([*samples_of(0), failure]) is failure
