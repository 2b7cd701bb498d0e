"""Inputs brought back to images: exact colors, exact windows, the right way up."""

import torch

from stica_pv.models import boxes_of, plan_crops
from stica_pv.report.strips import frames_shown, rectangles_of, spans_of, spectrogram_of, strip_of, windows_of
from stica_pv.structures import FeatureWindow, InputNote
from stica_pv.transforms import ColorParams, ColorSettings, apply_color

MAP = (4, 7, 7)


def noted(*boxes: list[list[int]]) -> InputNote:
    cells = boxes_of(plan_crops(torch.tensor(boxes), MAP, 2), MAP)
    return InputNote("view", windows=tuple(FeatureWindow(f"w{i}", one, MAP) for i, one in enumerate(cells)))


def test_frames_come_back_as_the_loader_gave_them():
    video = torch.randint(0, 256, (1, 3, 12, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = ColorSettings(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    x = apply_color(video, ColorParams.identity(1), settings)[0]
    strip = strip_of(x, InputNote("view", settings.mean, settings.std))
    assert strip.frames == tuple(range(12))
    assert strip.outside == 0
    for position, frame in enumerate(strip.frames):
        shown = torch.from_numpy(strip.pixels)[:, 5 * position : 5 * position + 5]
        assert torch.equal(shown, video[0, :, frame].permute(1, 2, 0))  # exact: integers


def test_shown_frames_begin_equal_parts_of_the_time_of_whole_frames_where_that_is_possible():
    assert frames_shown(30) == tuple(range(0, 30, 3))
    assert frames_shown(32) == tuple(range(0, 32, 4))
    assert frames_shown(13) == (0, 1, 3, 4, 6, 8, 9, 11)
    assert (frames_shown(1), frames_shown(0)) == ((0,), ())


def test_colors_beyond_the_screen_are_counted_and_two_channels_shown():
    x = torch.zeros(2, 4, 2, 2)
    x[0, :2], x[1] = 1.5, 0.2
    strip = strip_of(x, InputNote("view"))
    assert strip.outside == 0.25
    assert strip.pixels[0, 0].tolist() == [255, 51, 128]


def test_windows_lie_where_their_cells_are_in_input_pixels():
    x = torch.zeros(3, 8, 56, 28)
    note = noted([[0, 4], [1, 7], [0, 6]], [[1, 3], [0, 7], [0, 7]], [[2, 4], [0, 4], [3, 7]])
    strip = strip_of(x, note)
    found = rectangles_of(strip, note, 0)
    assert [one.window for one in found] == [0] * 8 + [2] * 4  # the last lies in the second half of the time
    assert [(one.left, one.top, one.width, one.height) for one in found[:2]] == [(0, 8, 24, 48), (28, 8, 24, 48)]
    assert (found[8].left, found[8].top, found[8].width, found[8].height) == (4 * 28 + 12, 0, 16, 32)
    assert [(one.window, one.start, one.end) for one in spans_of(note, 0, 8)] == [(1, 0.25, 0.75), (2, 0.5, 1.0)]
    alone, positions = windows_of(x, note, 0)
    assert alone.frames == (4, 6)
    assert [(one.window, one.left) for one in positions] == [(0, 0), (2, 28 + 12)]


def test_windows_of_a_samples_own_are_its_own():
    cells = torch.tensor([[[0, 4], [0, 7], [0, 7]], [[0, 4], [0, 3], [4, 7]]])
    window = FeatureWindow("w", cells, MAP)
    assert window.in_input(1, (8, 14, 14)) == ((0, 8), (0, 6), (8, 14))
    assert windows_of(torch.zeros(3, 8, 14, 14), InputNote("view", windows=(window,)), 0) is None


def test_spectrogram_has_low_bands_at_the_bottom_and_the_loudest_black():
    x = torch.full((1, 5, 3), -2.0)
    x[0, 1, 2] = 4.0
    grays = spectrogram_of(x)
    assert grays.shape == (5, 3)
    assert grays[3, 2] == 0
    assert (grays == 255).sum() == 14
