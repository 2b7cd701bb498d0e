import pytest
import torch
import torch.nn.functional as F
from made_videos import Colours, FakeReader, Normed, videos
from torch import Tensor

from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.evaluation import extract, reestimate_batch_norm
from stica_pv.evaluation.features import EverySample

CPU = torch.device("cpu")


def test_every_video_is_there_once_in_the_order_of_the_list():
    reader, encoder = FakeReader(), Colours()
    found = extract({"c": encoder}, videos(reader=reader), device=CPU, batch_size=3, num_workers=0)["c"]
    assert sorted(reader.paths) == [f"{i}.mp4" for i in range(7)]
    assert encoder.clips == 7 * 3
    assert found.features.shape == (7, 3)
    assert found.labels.tolist() == list(range(7))


def test_features_are_the_mean_over_clips_of_unit_vectors():
    found = extract({"c": Colours()}, videos(), device=CPU, batch_size=2, num_workers=0)["c"]
    for number in range(7):
        # clips of 2 pictures at 4 / s, spread over 3 s: they start at 0, 1.25 and 2.5 s; uint8 cuts fractions
        colours = [[10 * number, (int(10 * start) + int(10 * start + 2.5)) / 2, 1] for start in (0.0, 1.25, 2.5)]
        expected = F.normalize(torch.tensor(colours, dtype=torch.float32), dim=1).mean(dim=0)
        assert torch.allclose(found.features[number], expected, atol=1e-6)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (7, 0), (3, 2)])
def test_batches_and_workers_change_nothing(batch_size: int, workers: int):
    expected = extract({"c": Colours()}, videos(), device=CPU, batch_size=2, num_workers=0)["c"].features
    found = extract({"c": Colours()}, videos(), device=CPU, batch_size=batch_size, num_workers=workers)["c"].features
    assert torch.allclose(found, expected, atol=1e-6)


def test_several_encoders_share_one_pass_over_the_files():
    reader = FakeReader()
    found = extract({"a": Colours(), "b": Normed()}, videos(reader=reader), device=CPU, batch_size=4, num_workers=0)
    assert found.keys() == {"a", "b"}
    assert len(reader.paths) == 7


def test_encoders_run_in_evaluation_mode_without_gradient():
    encoder = Normed().train()
    before = encoder.norm.running_mean.clone()  # type: ignore[union-attr]
    found = extract({"n": encoder}, videos(), device=CPU, batch_size=4, num_workers=0)["n"]
    assert torch.equal(encoder.norm.running_mean, before)  # type: ignore[arg-type]
    assert not found.features.requires_grad


def test_frames_are_prepared_with_the_numbers_of_their_videos():
    def prepare(video: Tensor, indices: Tensor) -> Tensor:
        return indices.view(-1, 1, 1, 1, 1).expand(-1, 3, 1, 1, 1) + torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1, 1)

    found = extract({"c": Colours()}, videos(), device=CPU, batch_size=3, num_workers=0, prepare=prepare)["c"]
    expected = F.normalize(torch.tensor([[i + 1.0, i, i] for i in range(7)]), dim=1)
    assert torch.allclose(found.features, expected, atol=1e-6)


def test_a_video_that_cannot_be_read_is_no_silent_loss():
    dataset = videos()
    dataset.paths = [*dataset.paths[:-1], "bad.mp4"]
    with pytest.raises(UnreadableClip, match="torn"):
        extract({"c": Colours()}, dataset, device=CPU, batch_size=3, num_workers=0)


def test_lists_without_labels_are_refused():
    dataset = videos()
    dataset.labels = None
    with pytest.raises(ValueError, match="labels"):
        extract({"c": Colours()}, dataset, device=CPU, batch_size=3, num_workers=0)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_the_videos_out_without_gap_or_repeat(monkeypatch: pytest.MonkeyPatch, world_size: int):
    monkeypatch.setattr("stica_pv.evaluation.features.world_size", lambda: world_size)
    shown = []
    for rank in range(world_size):
        monkeypatch.setattr("stica_pv.evaluation.features.rank", lambda rank=rank: rank)
        shown += [key.index for batch in EverySample(8, 2) for key in batch]
    assert sorted(shown) == list(range(8))


def test_an_empty_batch_is_refused():
    with pytest.raises(UsageError, match=r"TEST\.BATCH_SIZE"):
        EverySample(8, 0)


def first_clips(dataset: "videos", indices: list[int]) -> Tensor:  # type: ignore[valid-type]
    numbers = torch.tensor(indices, dtype=torch.float32)
    red = 10 * numbers.view(-1, 1).expand(-1, 2)
    times = torch.tensor([[0.0, 2.0]]).expand(len(indices), -1)  # 2.5 as uint8
    return torch.stack([red, times, torch.ones_like(red)], dim=1)  # (B, 3, T); all cells of a picture are equal


def test_reestimated_statistics_are_the_means_over_batches():
    encoder, dataset = Normed(), videos(6)
    encoder.norm.running_mean.fill_(99.0)  # type: ignore[union-attr]
    reestimate_batch_norm(encoder, dataset, device=CPU, batch_size=3, num_workers=0, videos=100)
    batches = [first_clips(dataset, indices).repeat_interleave(16, dim=2) for indices in ([0, 1, 2], [3, 4, 5])]
    mean = torch.stack([batch.mean(dim=(0, 2)) for batch in batches]).mean(dim=0)
    variance = torch.stack([batch.var(dim=(0, 2)) for batch in batches]).mean(dim=0)
    assert torch.allclose(encoder.norm.running_mean, mean, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(encoder.norm.running_var, variance, rtol=1e-5)  # type: ignore[arg-type]
    assert encoder.norm.momentum == 0.3
    assert not encoder.training


def test_statistics_are_taken_from_videos_all_over_the_list():
    reader = FakeReader()
    reestimate_batch_norm(Normed(), videos(12, reader=reader), device=CPU, batch_size=2, num_workers=0, videos=4)
    assert reader.paths == ["0.mp4", "3.mp4", "6.mp4", "9.mp4"]


def test_statistics_are_those_of_prepared_frames():
    encoder = Normed()
    reestimate_batch_norm(
        encoder, videos(), device=CPU, batch_size=7, num_workers=0, videos=9, prepare=lambda video, _: video * 0 + 5.0
    )
    assert encoder.norm.running_mean.tolist() == [5.0] * 3  # type: ignore[union-attr]
