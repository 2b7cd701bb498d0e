"""Boxes have exact values and reach every position; resizing uint8 stays true to the exact path."""

import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import CropBox, FixedCrop, RandomResizedCrop, RandomShortSideCrop, apply_box

TRANSFORMS = [RandomResizedCrop(), RandomShortSideCrop(), FixedCrop()]


def noise(channels: int, frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 (C, T, H, W) stored as (T, H, W, C), as a reader gives it."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (frames, height, width, channels), dtype=torch.uint8, generator=rng)
    return images.permute(3, 0, 1, 2)


def exact(frames: Tensor, box: CropBox, size: int, antialias: bool) -> Tensor:
    """Crop, then resize in double precision, then flip."""
    part = frames[:, :, box.top : box.top + box.height, box.left : box.left + box.width].double()
    part = F.interpolate(part, size=(size, size), mode="bilinear", antialias=antialias)
    return part.flip(-1) if box.flip else part


def boxes(transform: RandomResizedCrop | RandomShortSideCrop, height: int, width: int, n: int) -> Iterator[CropBox]:
    for i in range(n):
        yield transform.sample_box(height, width, 112, generator("box", i))


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("shape", [(224, 224), (256, 128), (56, 224), (100, 133), (61, 60), (300, 180), (112, 112)])
def test_uint8_is_within_one_level_of_the_float_path_without_bias(shape: tuple[int, int], antialias: bool) -> None:
    box = CropBox(3, 5, *shape)
    frames = noise(3, 6, shape[0] + 7, shape[1] + 9)
    error = apply_box(frames, box, 112, antialias).double() - exact(frames, box, 112, antialias)
    assert error.abs().max() <= 1.02  # one level, and the 16-bit weights of the kernel
    assert error.mean().abs() <= 0.02


def test_bias_is_absent_in_every_region_of_a_flat_ramp() -> None:
    frames = noise(1, 4, 8, 8).repeat(3, 1, 32, 32)
    error = apply_box(frames, CropBox(0, 0, 256, 256), 128, True).double()
    error -= exact(frames, CropBox(0, 0, 256, 256), 128, True)
    assert F.avg_pool2d(error, 32).abs().max() < 0.1


@pytest.mark.parametrize("planar", [True, False])
def test_same_size_box_is_a_plain_cut_and_leaves_the_input_alone(planar: bool) -> None:
    frames = noise(3, 2, 40, 50)
    frames = frames.contiguous() if planar else frames
    before = frames.clone()
    # exact: integers
    assert torch.equal(apply_box(frames, CropBox(4, 10, 32, 32), 32, True), before[:, :, 4:36, 10:42])
    square = noise(3, 2, 32, 32)
    before_square = square.clone()
    mirrored = apply_box(square, CropBox(0, 0, 32, 32, flip=True), 32, True)
    assert torch.equal(mirrored, before_square.flip(-1))  # exact: integers
    assert torch.equal(square, before_square)  # exact: integers
    assert torch.equal(frames, before)  # exact: integers


def test_float_frames_take_the_float_path() -> None:
    frames, box = noise(3, 2, 40, 50).float(), CropBox(1, 2, 31, 43, flip=True)
    out = apply_box(frames, box, 24, True).double()
    torch.testing.assert_close(out, exact(frames, box, 24, True), rtol=0, atol=1e-3)


def test_halving_without_antialias_averages_two_by_two() -> None:
    frames = noise(3, 1, 16, 16)
    known = F.avg_pool2d(frames.double(), 2)
    assert (apply_box(frames, CropBox(0, 0, 16, 16), 8, False).double() - known).abs().max() <= 1


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (90, 90)])
def test_output_shape_and_static_clips_stay_static(transform: RandomResizedCrop, shape: tuple[int, int]) -> None:
    frames = noise(3, 1, *shape).expand(-1, 5, -1, -1)
    out = transform(frames, 64, generator("static"))
    assert out.shape == (3, 5, 64, 64)
    assert out.dtype == torch.uint8
    assert torch.equal(out, out[:, :1].expand_as(out))  # exact: integers


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_equal_generators_give_equal_results_and_other_generators_other_ones(transform: RandomResizedCrop) -> None:
    frames = noise(3, 2, 150, 200)
    first, again, other = (transform(frames, 64, generator("same", key)) for key in (0, 0, 1))
    assert torch.equal(first, again)  # exact: integers
    assert torch.equal(first, other) == isinstance(transform, FixedCrop)  # exact: integers


def test_resized_crop_area_and_aspect_follow_their_laws() -> None:
    drawn = list(boxes(RandomResizedCrop(area=(0.14, 0.5)), 1000, 1000, 2000))
    area = torch.tensor([b.height * b.width / 1e6 for b in drawn])
    aspect = torch.tensor([math.log(b.width / b.height) for b in drawn])
    assert 0.139 < area.min() < 0.15 < 0.49 < area.max() < 0.501
    assert abs(area.mean() - 0.32) < 0.01  # uniform: the middle of the range
    assert aspect.abs().max() < math.log(4 / 3) + 0.01
    assert abs(aspect.mean()) < 0.02
    assert abs(aspect.std() - 2 * math.log(4 / 3) / math.sqrt(12)) < 0.01
    assert 0.46 < sum(b.flip for b in drawn) / len(drawn) < 0.54


def tensorflow_mean_area(height: int, width: int, area: tuple[float, float], aspect: tuple[float, float]) -> float:
    """Mean share of the area, written out: ratios on a fine grid, of each every height that is allowed."""
    total, steps = 0.0, 400
    for step in range(steps):
        ratio = aspect[0] + (aspect[1] - aspect[0]) * (step + 0.5) / steps
        shares = [h * round(h * ratio) / (height * width) for h in range(1, height + 1) if round(h * ratio) <= width]
        allowed = [share for share in shares if area[0] <= share <= area[1]]
        total += sum(allowed) / len(allowed)
    return total / steps


@pytest.mark.parametrize(("height", "width", "mean"), [(256, 340, 0.504), (340, 256, 0.454), (256, 256, 0.490)])
def test_tensorflow_style_crops_have_the_areas_of_its_law(height: int, width: int, mean: float) -> None:
    crop = RandomResizedCrop(area=(0.3, 1.0), aspect=(0.5, 2.0), style="tf")
    expected = tensorflow_mean_area(height, width, crop.area, crop.aspect)
    assert expected == pytest.approx(mean, abs=0.002)
    sampled = list(boxes(crop, height, width, 3000))
    shares = torch.tensor([box.height * box.width / (height * width) for box in sampled])
    ratios = torch.tensor([box.width / box.height for box in sampled])
    assert shares.mean().item() == pytest.approx(expected, abs=0.01)
    assert 0.3 <= shares.min() <= shares.max() <= 1
    assert ratios.mean().item() == pytest.approx(1.25, abs=0.03)  # uniform from 0.5 to 2; log-uniform: 1.08
    assert all(box.top + box.height <= height and box.left + box.width <= width for box in sampled)


def test_tensorflow_style_crops_take_the_whole_frame_where_no_window_fits() -> None:
    crop = RandomResizedCrop(area=(1.0, 1.0), aspect=(0.5, 0.6), flip_prob=0, style="tf")
    assert crop.sample_box(30, 300, 16, generator(0)) == CropBox(0, 0, 30, 300)
    with pytest.raises(UsageError, match=r"style of random resized crops: got 'TF'"):
        RandomResizedCrop(style="TF")  # type: ignore[arg-type]


def test_resized_crop_falls_back_to_the_largest_central_window() -> None:
    wide = RandomResizedCrop(area=(1.0, 1.0), flip_prob=0).sample_box(30, 300, 16, generator(0))
    assert wide == CropBox(0, 130, 30, 40)
    tall = RandomResizedCrop(area=(1.0, 1.0), flip_prob=0).sample_box(300, 30, 16, generator(0))
    assert tall == CropBox(130, 0, 40, 30)
    whole = RandomResizedCrop(area=(1.0, 1.0), aspect=(1.2, 1.3), flip_prob=0).sample_box(100, 125, 16, generator(0))
    assert whole == CropBox(0, 0, 100, 125)


def test_resized_crop_reaches_every_position() -> None:
    tops = {b.top for b in boxes(RandomResizedCrop(area=(0.25, 0.25), aspect=(1, 1)), 12, 12, 300)}
    assert tops == set(range(7))


@pytest.mark.parametrize("last_offset", [True, False])
def test_short_side_crop_reaches_every_offset_but_the_last_as_released(last_offset: bool) -> None:
    transform = RandomShortSideCrop(short_side=(118, 118), last_offset=last_offset)
    drawn = list(boxes(transform, 118, 120, 400))
    assert {(b.height, b.width) for b in drawn} == {(112, 112)}
    assert {b.top for b in drawn} == set(range(7 if last_offset else 6))
    assert {b.left for b in drawn} == set(range(9 if last_offset else 8))


def test_short_side_crop_scales_with_rounded_uniform_lengths() -> None:
    heights = {b.height for b in boxes(RandomShortSideCrop(), 320, 400, 600)}
    assert heights <= {n for side in range(128, 161) for n in (112 * 320 // side, 112 * 320 // side + 1)}
    assert min(heights) == 224
    assert max(heights) == 280


def test_short_side_crop_equals_resize_then_crop() -> None:
    grid = torch.linspace(0, 3, 256)
    smooth = (127 + 100 * torch.sin(grid[:, None] * 2 + grid)).round().byte()[None, None].expand(3, 2, -1, -1)
    transform = RandomShortSideCrop(short_side=(128, 128), flip_prob=0)  # half size: offsets are whole source pixels
    box = transform.sample_box(256, 256, 112, generator("equal"))
    resized = F.interpolate(smooth.double(), size=(128, 128), mode="bilinear", antialias=True)
    cut = resized[:, :, box.top // 2 : box.top // 2 + 112, box.left // 2 : box.left // 2 + 112]
    assert (box.top % 2, box.left % 2, box.height, box.width) == (0, 0, 224, 224)
    assert (apply_box(smooth, box, 112, True).double() - cut).abs().max() < 1.5


@pytest.mark.parametrize(
    ("position", "box"),
    [(0.0, CropBox(0, 0, 256, 256)), (0.5, CropBox(0, 42, 256, 256)), (1.0, CropBox(0, 84, 256, 256))],
)
def test_fixed_crop_takes_left_center_and_right(position: float, box: CropBox) -> None:
    assert FixedCrop(position=position).sample_box(256, 340, 128, generator(0)) == box
    turned = FixedCrop(position=position).sample_box(340, 256, 128, generator(0))
    assert turned == CropBox(box.left, box.top, box.width, box.height)


def test_fixed_crop_centres_the_other_axis() -> None:
    assert FixedCrop(short_side=128, position=1.0).sample_box(128, 200, 112, generator(0)) == CropBox(8, 88, 112, 112)


@pytest.mark.parametrize("shape", [(7, 400), (400, 7), (1, 1), (128, 128)])
def test_boxes_stay_inside_odd_frames(shape: tuple[int, int]) -> None:
    for transform in TRANSFORMS:
        assert transform(noise(3, 1, *shape), 112, generator("odd")).shape == (3, 1, 112, 112)


def test_impossible_requests_raise() -> None:
    with pytest.raises(UsageError, match="needs at least 112, got 100"):
        FixedCrop(short_side=100).sample_box(200, 200, 112, generator(0))
    with pytest.raises(UsageError, match="area"):
        RandomResizedCrop(area=(0.5, 1.2))
    with pytest.raises(UsageError, match="aspect"):
        RandomResizedCrop(aspect=(2.0, 1.0))
    with pytest.raises(UsageError, match="flip_prob"):
        RandomShortSideCrop(flip_prob=2)
    with pytest.raises(UsageError, match="position"):
        FixedCrop(position=-0.1)
    with pytest.raises(UsageError, match="is not inside frames"):
        apply_box(noise(3, 1, 20, 20), CropBox(0, 1, 20, 20), 8, True)
    with pytest.raises(UsageError, match="expected uint8 or float"):
        apply_box(noise(3, 1, 20, 20).int(), CropBox(0, 0, 20, 20), 8, True)
    with pytest.raises(ValueError, match="a box needs"):
        CropBox(0, 0, 0, 4)
