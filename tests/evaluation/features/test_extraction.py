import pytest
import torch
import torch.nn.functional as F
from made_videos import CLIP_FORMAT, CPU, Colors, FakeReader, Loudness, Normed, videos
from torch import Tensor, nn

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.errors import RunFailed
from stica_pv.evaluation.features.extraction import (
    NO_AUDIO,
    Extracted,
    FeatureSpec,
    OwnItems,
    Prepare,
    extract,
    max_pooled,
)
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.tasks.encoders import Encoder


def run(
    encoders: dict[str, nn.Module],
    dataset: ClipDataset,
    items: list[int] | None = None,
    prepare: Prepare | None = None,
    **settings: object,
) -> Extracted:
    jobs = {name: FeatureSpec(encoder.eval(), "pooled", average=True) for name, encoder in encoders.items()}
    items = list(range(len(dataset))) if items is None else items
    loading = Loading(CPU, **{"clips_at_once": 6, "num_workers": 0, **settings})  # type: ignore[arg-type]
    found = extract(jobs, dataset, items, loading=loading, prepare=prepare)
    assert found is not None
    return found


def colors_of(number: int) -> Tensor:
    # clips of 2 frames at 4 / s, spread over 3 s: they start at 0, 1.25 and 2.5 s; uint8 cuts fractions
    rows = [[10 * number, (int(10 * start) + int(10 * start + 2.5)) / 2, 1] for start in (0.0, 1.25, 2.5)]
    return torch.tensor(rows, dtype=torch.float32)


def test_every_item_is_read_once_and_stands_at_its_place():
    reader, encoder = FakeReader(), Colors()
    found = run({"c": encoder}, videos(reader=reader))
    assert sorted(reader.paths) == [f"{i}.mp4" for i in range(7)]
    assert encoder.clips == 7 * 3
    assert found.features["c"].shape == (7, 1, 3)
    assert found.index.tolist() == list(range(7))


def test_a_network_that_does_not_fit_into_memory_says_which_key_to_lower():
    class TooLarge(nn.Module):
        def forward(self, video: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    message = r"^features: the memory .* \(CUDA .* 9 GiB\) with TEST.BATCH_SIZE 6 clips at a time: lower it$"
    with pytest.raises(RunFailed, match=message):
        run({"large": TooLarge()}, videos())


def test_only_the_items_that_are_asked_for_are_read():
    reader = FakeReader()
    found = run({"c": Colors()}, videos(reader=reader), [5, 2])
    assert sorted(reader.paths) == ["2.mp4", "5.mp4"]
    assert found.index.tolist() == [2, 5]
    assert torch.allclose(found.features["c"][1, 0], F.normalize(colors_of(5), dim=1).mean(dim=0), atol=1e-6)


def test_averaged_features_are_the_mean_over_views_of_unit_vectors():
    found = run({"c": Colors()}, videos())
    for number in range(7):
        expected = F.normalize(colors_of(number), dim=1).mean(dim=0)
        assert torch.allclose(found.features["c"][number, 0], expected, atol=1e-6)


def test_views_that_are_not_averaged_stay_as_they_are_in_their_order():
    found = extract(
        {"c": FeatureSpec(Colors().eval(), "pooled", average=False)},
        videos(),
        range(7),
        loading=Loading(CPU, clips_at_once=4, num_workers=0),
    )
    assert found is not None
    # exact: copied, not calculated
    assert torch.equal(found.features["c"], torch.stack([colors_of(number) for number in range(7)]))


@pytest.mark.parametrize(("clips_at_once", "workers"), [(1, 0), (21, 0), (4, 0), (7, 2)])
def test_batches_and_workers_change_nothing(clips_at_once: int, workers: int):
    expected = run({"c": Colors()}, videos()).features["c"]
    found = run({"c": Colors()}, videos(), clips_at_once=clips_at_once, num_workers=workers).features["c"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_several_encoders_share_one_pass_over_the_files():
    reader = FakeReader()
    found = run({"a": Colors(), "b": Normed()}, videos(reader=reader))
    assert found.features.keys() == {"a", "b"}
    assert len(reader.paths) == 7


class Counting(Encoder):
    """A map, its mean and a projection; counts its passes."""

    offers = ("map", "pooled", "projected")

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def layers(self, x: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:  # type: ignore[override]
        self.passes += 1
        found = {"map": x.float(), "pooled": x.float().mean(dim=(2, 3, 4)), "projected": -x.float().mean(dim=(2, 3, 4))}
        return {name: found[name] for name in names}


def test_all_layers_of_an_encoder_come_from_one_pass_through_it():
    encoder = Counting().eval()
    jobs = {
        "whole": FeatureSpec(encoder, "map", average=False),
        "max": FeatureSpec(encoder, "map_max", average=False),
        "unit": FeatureSpec(encoder, "map_max", average=True),
        "projected": FeatureSpec(encoder, "projected", average=False),
    }
    found = extract(jobs, videos(2), [0, 1], loading=Loading(CPU, clips_at_once=6, num_workers=0))
    assert found is not None
    assert encoder.passes == 1
    assert found.features["whole"].shape == (2, 3, 3 * 2 * 4 * 4)
    maximum = found.features["max"].unflatten(2, (3, 1, 2, 2))
    assert torch.equal(maximum[1, 0, :, 0, 0, 0], torch.tensor([10.0, 2.0, 1.0]))  # exact: copied, not calculated
    assert torch.allclose(found.features["unit"][1, 0], F.normalize(found.features["max"][1], dim=1).mean(dim=0))
    assert torch.equal(found.features["projected"][1], -colors_of(1))  # exact: copied, not calculated


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 5, 4, 7, 7), (1, 5, 2, 3, 3)), ((1, 5, 1, 3, 2), (1, 5, 1, 1, 1)), ((1, 5, 9, 7), (1, 5, 9, 3)),
     ((1, 5, 2, 2), (1, 5, 2, 1)), ((2, 5), (2, 5))],
)  # fmt: skip
def test_maps_are_max_pooled_as_in_the_papers_and_small_ones_as_a_whole(
    shape: tuple[int, ...], expected: tuple[int, ...]
):
    feature_map = torch.randn(shape)
    assert max_pooled(feature_map).shape == expected
    assert max_pooled(feature_map).flatten()[0] in feature_map.flatten()


def test_selavis_map_has_9216_numbers():
    assert max_pooled(torch.zeros(1, 512, 4, 7, 7)).flatten(1).shape == (1, 9216)


def test_encoders_keep_their_statistics_and_give_no_gradient():
    encoder = Normed()
    before = encoder.norm.running_mean.clone()  # type: ignore[union-attr]
    found = run({"n": encoder}, videos())
    # exact: left alone, not calculated
    assert torch.equal(encoder.norm.running_mean, before)  # type: ignore[arg-type]
    assert not found.features["n"].requires_grad


def test_frames_are_prepared_with_the_names_of_their_views_and_the_numbers_of_their_items():
    def prepare(video: Tensor, view: str, indices: Tensor) -> Tensor:
        clip = int(view.split()[0].removeprefix("clip"))
        first = indices.view(-1, 1, 1, 1, 1).expand(-1, 3, 1, 1, 1)
        return first + torch.tensor([1.0, 0, clip]).view(1, 3, 1, 1, 1)

    found = run({"c": Colors()}, videos(), prepare=prepare)
    rows = torch.tensor([[[i + 1.0, i, i + clip] for clip in range(3)] for i in range(7)])
    assert torch.allclose(found.features["c"][:, 0], F.normalize(rows, dim=2).mean(dim=1), atol=1e-6)


def test_an_item_that_cannot_be_read_is_named_and_takes_no_other_with_it():
    found = run({"c": Colors()}, videos(reader=FakeReader(bad=["1.mp4", "4.mp4"])), clips_at_once=12)
    assert found.causes == {1: "torn", 4: "torn"}
    assert found.features["c"].isnan().all(dim=2)[:, 0].tolist() == [i in (1, 4) for i in range(7)]
    others = [0, 2, 3, 5, 6]
    expected = run({"c": Colors()}, videos()).features["c"][others]
    torch.testing.assert_close(found.features["c"][others], expected, rtol=0, atol=1e-6)


def test_when_nothing_can_be_read_everything_is_named():
    found = run({"c": Colors()}, videos(2, reader=FakeReader(bad=["0.mp4", "1.mp4"])))
    assert found.causes.keys() == {0, 1}
    assert found.features["c"].isnan().all()


def test_audio_is_heard_in_windows_of_its_own_length():
    received: list[tuple[int, ...]] = []

    class Listening(Loudness):
        def forward(self, audio: Tensor) -> Tensor:
            received.append(tuple(audio.shape))
            return super().forward(audio)

    request = FeatureRequest("audio", clips=3)
    found = run({"l": Listening()}, videos(request=request), clips_at_once=3)
    assert set(received) == {(3, round(CLIP_FORMAT.audio_seconds * CLIP_FORMAT.audio_rate_hz))}
    expected = F.normalize(torch.tensor([[i / 100, 1.0] for i in range(7)]), dim=1)
    assert torch.allclose(found.features["l"][:, 0], expected, atol=1e-6)


def test_audio_that_is_not_there_is_no_silent_loss():
    found = run({"l": Loudness()}, videos(request=FeatureRequest("audio"), reader=FakeReader(mute=["3.mp4"])))
    assert found.causes == {3: NO_AUDIO}
    assert found.features["l"].isnan().any(dim=2)[:, 0].tolist() == [i == 3 for i in range(7)]


def test_a_row_keeps_nothing_of_its_batch(monkeypatch: pytest.MonkeyPatch):
    kept: list[Tensor] = []

    def keep(rows: dict[int, dict[str, Tensor]]) -> dict[int, dict[str, Tensor]]:
        kept.extend(row for item in rows.values() for row in item.values())
        return rows

    monkeypatch.setattr("stica_pv.evaluation.features.extraction.rows_to_main", keep)
    run({"c": Colors()}, videos(32, request=FeatureRequest(clips=1)), clips_at_once=64)
    assert kept
    assert all(row.untyped_storage().nbytes() == row.nbytes for row in kept)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_the_items_out_without_gap_or_repeat(monkeypatch: pytest.MonkeyPatch, world_size: int):
    monkeypatch.setattr("stica_pv.evaluation.features.extraction.world_size", lambda: world_size)
    shown = []
    for rank in range(world_size):
        monkeypatch.setattr("stica_pv.evaluation.features.extraction.rank", lambda rank=rank: rank)
        shown += [key.index for batch in OwnItems([3, 1, 4, 15, 9, 2, 6, 5], 2) for key in batch]
    assert sorted(shown) == [1, 2, 3, 4, 5, 6, 9, 15]
