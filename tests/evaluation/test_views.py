import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.evaluation import grid_views
from stica_pv.evaluation.views import RELEASED_SHORT_SIDE, grid_windows
from stica_pv.keyed_random import generator

RNG = torch.Generator()


def starts(clips: int, duration_s: float) -> list[tuple[float, str]]:
    windows = grid_windows(clips, 2.0)(duration_s, RNG)
    assert all(window.seconds == 2.0 for window in windows.values())
    return [(windows[f"clip{i}"].start_s, windows[f"clip{i}"].at_end) for i in range(clips)]


def test_clips_are_spaced_from_the_start_to_the_end():
    assert starts(4, 8.0) == [(0.0, "shift"), (2.0, "shift"), (4.0, "shift"), (6.0, "shift")]


def test_a_single_clip_lies_in_the_middle():
    assert starts(1, 8.0) == [(3.0, "shift")]


def test_a_short_video_is_looped():
    assert starts(2, 1.5) == [(0.0, "loop"), (0.0, "loop")]


def test_no_video_is_too_short_or_too_silent():
    views = grid_views(clips=2, spatial_crops=1, frames=4, fps=2.0, size=8)
    assert (views.min_seconds, views.needs_audio) == (0.0, False)


def test_three_crops_reach_both_ends_of_the_longer_side():
    views = grid_views(clips=1, spatial_crops=3, frames=1, fps=1.0, size=4)
    frames = torch.arange(12, dtype=torch.uint8).expand(3, 1, 4, 12).contiguous()
    columns = []
    for spec in views.specs:
        assert spec.transform is not None
        columns.append(spec.transform(frames, spec.size, RNG)[0, 0, 0].tolist())
    assert columns == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_every_clip_is_seen_through_every_crop():
    views = grid_views(clips=2, spatial_crops=3, frames=4, fps=2.0, size=8)
    assert len(views.specs) == 6
    assert {spec.window for spec in views.specs} == {"clip0", "clip1"}


def crop(transform: str, key: int) -> torch.Tensor:
    views = grid_views(clips=1, spatial_crops=1, frames=1, fps=1.0, size=112, transform=transform)
    row = torch.linspace(0, 255, 160).to(torch.uint8)
    cut = views.specs[0].transform
    assert cut is not None
    return cut(row.expand(3, 1, 128, 160).contiguous(), 112, generator("sample", key))


def test_the_fixed_crop_draws_nothing():
    assert all(torch.equal(crop("fixed", 0), crop("fixed", key)) for key in range(1, 4))


def test_the_released_crop_is_drawn_by_key_and_differs_from_the_fixed_one():
    cuts = [crop("released", key) for key in range(6)]
    assert all(cut.shape == (3, 1, 112, 112) for cut in cuts)
    assert torch.equal(cuts[0], crop("released", 0))
    assert any(not torch.equal(cuts[0], cut) for cut in cuts[1:])
    # the short side is 128 to 160 px instead of 112, so less of the picture is seen
    assert min(RELEASED_SHORT_SIDE) > 112
    spans = [int(cut[0, 0, 0, -1]) - int(cut[0, 0, 0, 0]) for cut in (crop("fixed", 0), *cuts)]
    assert spans[0] > max(spans[1:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": 0}, "NUM_ENSEMBLE_VIEWS"),
        ({"spatial_crops": 2}, "NUM_SPATIAL_CROPS"),
        ({"transform": "relased"}, "did you mean released"),
    ],
)
def test_impossible_grids_are_refused(settings: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        grid_views(**{"clips": 1, "spatial_crops": 1, "frames": 1, "fps": 1.0, "size": 4, **settings})  # type: ignore[arg-type]
