from dataclasses import replace

import pytest
import torch
from made_videos import CLIP_FORMAT

from stica_pv.errors import UsageError
from stica_pv.evaluation.requests import TEST_TRANSFORMS, FeatureRequest, TestTransform
from stica_pv.evaluation.views import RELEASED_SHORT_SIDE, KeyedColor, color_of, grid_windows, views_of
from stica_pv.keyed_random import generator
from stica_pv.transforms import ColorSettings

RNG = torch.Generator()
BIG = replace(CLIP_FORMAT, size=112, train_size=112, frames=1)


def starts(clips: int, duration_s: float) -> list[tuple[float, str]]:
    windows = grid_windows(clips, 2.0)(duration_s, RNG)
    assert all(window.seconds == 2.0 for window in windows.values())
    return [(windows[f"clip{i}"].start_s, windows[f"clip{i}"].at_end) for i in range(clips)]


def test_clips_are_spaced_from_the_start_to_the_end():
    assert starts(4, 8.0) == [(0.0, "shift"), (2.0, "shift"), (4.0, "shift"), (6.0, "shift")]


def test_a_single_clip_lies_in_the_middle():
    assert starts(1, 8.0) == [(3.0, "shift")]


def test_a_short_item_is_looped():
    assert starts(2, 1.5) == [(0.0, "loop"), (0.0, "loop")]


def test_released_starts_leave_the_last_share_out_and_lie_on_frames():
    windows = grid_windows(4, 2.0, starts="released")(8.0, RNG)
    assert [windows[f"clip{k}"].start_s for k in range(4)] == [0.0, 1.5, 3.0, 4.5]
    assert all(window.whole_frames for window in windows.values())
    assert not any(window.whole_frames for window in grid_windows(4, 2.0)(8.0, RNG).values())
    drawn = grid_windows(4, 2.0, starts="released", sampled=True)(8.0, RNG)
    assert not any(window.whole_frames for window in drawn.values())


def test_the_last_frame_of_a_short_item_stays_where_that_is_asked_for():
    windows = grid_windows(2, 2.0, starts="released", short_videos="repeat_last")(1.5, RNG)
    assert [(window.start_s, window.at_end) for window in windows.values()] == [(0.0, "pad"), (0.0, "pad")]
    assert grid_windows(1, 2.0, short_videos="repeat_last")(8.0, RNG)["clip0"].at_end == "shift"


def test_drawn_windows_follow_their_key_and_reach_the_whole_item():
    policy = grid_windows(50, 2.0, sampled=True)
    first, again = (policy(8.0, generator("x", 1)) for _ in range(2))
    assert first == again
    positions = [window.start_s for window in first.values()]
    assert min(positions) < 0.5 < 5.5 < max(positions) <= 6.0


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_no_item_is_too_short_or_too_silent(modality: str):
    views = views_of(FeatureRequest(modality, clips=2), CLIP_FORMAT)  # type: ignore[arg-type]
    assert (views.min_seconds, views.needs_audio) == (0.0, False)


def test_three_crops_reach_both_ends_of_the_longer_side():
    views = views_of(FeatureRequest(clips=1, spatial_crops=3), replace(CLIP_FORMAT, frames=1))
    frames = torch.arange(12, dtype=torch.uint8).expand(3, 1, 4, 12).contiguous()
    columns = []
    for spec in views.specs:
        assert spec.transform is not None
        columns.append(spec.transform(frames, spec.size, RNG)[0, 0, 0].tolist())
    assert columns == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_every_clip_is_seen_through_every_crop():
    views = views_of(FeatureRequest(clips=2, spatial_crops=3), CLIP_FORMAT)
    assert [spec.name for spec in views.specs] == [f"clip{i} crop{j}" for i in range(2) for j in range(3)]
    assert {spec.window for spec in views.specs} == {"clip0", "clip1"}
    assert {(spec.frames, spec.fps, spec.size) for spec in views.specs} == {
        (CLIP_FORMAT.frames, CLIP_FORMAT.fps, CLIP_FORMAT.size)
    }


def test_audio_is_asked_for_without_frames_at_the_rate_of_the_networks():
    views = views_of(FeatureRequest("audio", clips=3, spatial_crops=3), CLIP_FORMAT)
    assert len(views.specs) == 3
    assert all(
        spec.frames == 0 and spec.audio and spec.audio.sample_rate_hz == CLIP_FORMAT.audio_rate_hz
        for spec in views.specs
    )
    assert {window.seconds for window in views.sample_windows(9.0, RNG).values()} == {CLIP_FORMAT.audio_seconds}


def crop(transform: str, key: int) -> torch.Tensor:
    views = views_of(FeatureRequest(clips=1, transform=transform), BIG)  # type: ignore[arg-type]
    row = torch.linspace(0, 255, 160).to(torch.uint8)
    cut = views.specs[0].transform
    assert cut is not None
    return cut(row.expand(3, 1, 128, 160).contiguous(), 112, generator("sample", key))


@pytest.mark.parametrize("transform", TEST_TRANSFORMS)
def test_views_of_training_have_its_size_and_the_others_that_of_the_test(transform: TestTransform):
    views = views_of(FeatureRequest(clips=2, transform=transform), replace(CLIP_FORMAT, size=256, train_size=224))
    assert {spec.size for spec in views.specs} == {224 if transform in ("random_crop", "augmented") else 256}


def test_the_fixed_crop_draws_nothing():
    assert all(torch.equal(crop("fixed", 0), crop("fixed", key)) for key in range(1, 4))  # exact: integers


@pytest.mark.parametrize("transform", [name for name in TEST_TRANSFORMS if name != "fixed"])
def test_the_other_crops_are_drawn_by_key(transform: str):
    cuts = [crop(transform, key) for key in range(6)]
    assert all(cut.shape == (3, 1, 112, 112) for cut in cuts)
    assert torch.equal(cuts[0], crop(transform, 0))  # exact: integers
    assert any(not torch.equal(cuts[0], cut) for cut in cuts[1:])


def test_the_released_crop_sees_less_of_the_frame():
    # its short side is 128 to 160 px instead of 112
    assert min(RELEASED_SHORT_SIDE) > 112
    spans = [
        int(cut[0, 0, 0, -1]) - int(cut[0, 0, 0, 0])
        for cut in (crop("fixed", 0), *(crop("released", k) for k in range(6)))
    ]
    assert spans[0] > max(spans[1:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": 0}, "at least one clip"),
        ({"spatial_crops": 2}, "1 or 3 crops"),
        ({"transform": "relased"}, "did you mean released"),
        ({"starts": "relased"}, "did you mean released"),
        ({"short_videos": "repeat"}, "did you mean repeat_last"),
    ],
)
def test_impossible_grids_are_refused(settings: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        views_of(FeatureRequest(**{"clips": 1, "spatial_crops": 1, **settings}), CLIP_FORMAT)  # type: ignore[arg-type]


VIDEO = torch.randint(0, 256, (1, 3, 2, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def colored(*indices: int, seed: int = 0, view: str = "clip0 crop0", **settings: float) -> torch.Tensor:
    color = KeyedColor(ColorSettings(style="released", gray_prob=0.0, **settings), seed)  # type: ignore[arg-type]
    return color(VIDEO.expand(len(indices), -1, -1, -1, -1), view, torch.tensor(indices))


def test_the_jitter_of_a_view_is_keyed_by_its_item_its_name_and_the_seed():
    assert torch.equal(colored(3), colored(3))  # exact: the same code with the same shapes, twice
    torch.testing.assert_close(colored(7, 3)[1:], colored(3), rtol=0, atol=1e-5)
    assert not torch.equal(colored(3), colored(3, seed=1))
    assert not torch.equal(colored(3), colored(3, view="clip1 crop0"))
    assert len({tuple(colored(i).flatten()[:4].tolist()) for i in range(20)}) > 10


def test_without_jitter_only_the_normalisation_is_left():
    plain = (VIDEO.float() / 255 - 0.45) / 0.225
    assert torch.allclose(colored(0, jitter_prob=0.0), plain, atol=1e-5)
    assert not torch.allclose(colored(0, jitter_prob=1.0), plain, atol=1e-2)


def test_no_view_is_blurred():
    # exact: the same code with the same shapes, twice
    assert torch.equal(colored(0, blur_prob=1.0), colored(0, blur_prob=0.0))


def test_colors_change_only_where_the_transform_says_so():
    wanted = {name: color_of(FeatureRequest(transform=name), CLIP_FORMAT, 5) for name in TEST_TRANSFORMS}
    assert wanted["fixed"] is None
    assert wanted["random_crop"] is None
    assert wanted["released"] == KeyedColor(replace(CLIP_FORMAT.color, gray_prob=0.0, style="released"), 5)
    assert wanted["augmented"] == KeyedColor(CLIP_FORMAT.color, 5)
    assert color_of(FeatureRequest("audio", transform="augmented"), CLIP_FORMAT, 5) is None
