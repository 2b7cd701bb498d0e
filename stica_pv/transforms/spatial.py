"""Crop, resize and flip of clips in the loader workers, on uint8, with one box for all frames.

Every transform samples a `CropBox` in source pixels and then applies it; cropping before resizing reads only the
pixels that are kept.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import chance, integer, uniform
from stica_pv.structures import describe

CropStyle = Literal["torchvision", "tf"]
CROP_STYLES: tuple[CropStyle, ...] = get_args(CropStyle)


@dataclass(frozen=True)
class CropBox:
    """A rectangle of the source frames in pixels, and whether the result is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False

    def __post_init__(self) -> None:
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise ValueError(f"a box needs top, left >= 0 and height, width >= 1, got {self}")


def apply_box(frames: Tensor, box: CropBox, size: int, antialias: bool) -> Tensor:
    """Crops the box, resizes it to a square with bilinear weights (corners not aligned), and mirrors it if `flip`.

    Args:
        frames: Frames (C, T, H, W), uint8 or floating point; not modified.
        box: Rectangle within the frames.
        size: Side of the result in pixels.
        antialias: Whether weights are widened when shrinking; otherwise some source pixels are skipped.

    Returns:
        (C, T, size, size) of the same dtype, stored as (T, H, W, C). uint8 is within one gray level of the exact value
        and equals it on average.
    """
    if frames.ndim != 4 or not (frames.dtype == torch.uint8 or frames.is_floating_point()):
        raise UsageError(f"frames: expected uint8 or float (C, T, H, W), got {describe(frames)}")
    bottom, right = box.top + box.height, box.left + box.width
    if bottom > frames.shape[2] or right > frames.shape[3]:
        raise UsageError(f"{box} is not inside frames {describe(frames)}")
    # A copy in (T, H, W, C): torch's vector kernels for uint8 images work on this layout, three to ten times faster.
    pixels = frames[:, :, box.top : bottom, box.left : right].permute(1, 2, 3, 0)
    pixels = pixels.clone(memory_format=torch.contiguous_format)
    resize = _resize_uint8 if frames.dtype == torch.uint8 else _resize
    images = resize(pixels, size, size, antialias).permute(3, 0, 1, 2)
    return images.flip(-1) if box.flip else images


def _resize(pixels: Tensor, height: int, width: int, antialias: bool) -> Tensor:
    """Resizes (T, H, W, C) to (T, height, width, C)."""
    images = pixels.permute(0, 3, 1, 2)
    images = F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False, antialias=antialias)
    return images.permute(0, 2, 3, 1).contiguous()


def _resize_uint8(pixels: Tensor, height: int, width: int, antialias: bool) -> Tensor:
    """Resizes as `_resize`, for uint8 and without rounding bias; overwrites `pixels`.

    The kernel resizes the width, rounds, resizes the height and rounds, with halves going up each time: at simple
    ratios (224 to 112) ties are common and the frame becomes brighter by up to half a gray level. Negating every second
    line, the rows for the first pass and the columns for the second, makes as many ties go down as up.
    """
    rows = _every_second(pixels.shape[1])[:, None]
    columns = _every_second(width).repeat_interleave(pixels.shape[3])
    pixels[:, 1::2].bitwise_not_()
    pixels = _resize(pixels, pixels.shape[1], width, antialias)
    pixels.flatten(2).bitwise_xor_(rows ^ columns)
    pixels = _resize(pixels, height, width, antialias)
    pixels.flatten(2).bitwise_xor_(columns)
    return pixels


def _every_second(length: int) -> Tensor:
    """Returns the uint8 mask 0, 255, 0, 255, … that negates by xor."""
    return (torch.arange(length) % 2 * 255).to(torch.uint8)


def _check_range(name: str, bounds: tuple[float, float], highest: float = math.inf) -> None:
    low, high = bounds
    if not 0 < low <= high <= highest:
        raise UsageError(f"{name}: expected 0 < low <= high <= {highest:g}, got {bounds}")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name}: expected 0 to 1, got {value}")


@dataclass(frozen=True)
class RandomResizedCrop:
    """A window of random area and shape, resized to the output square.

    Attributes:
        area: Bounds of the relative area of the box.
        aspect: Bounds of the ratio width / height.
        flip_prob: Probability of a mirrored clip.
        antialias: See `apply_box`; False as released.
        style: Distribution of the box. ``torchvision``: the area is uniform and the ratio log-uniform, as in its
            transform of this name. ``tf``: the ratio is uniform, then the height is uniform among those that keep the
            area within its bounds, as in TensorFlow's ``sample_distorted_bounding_box``, which CVRL's and BraVe's
            releases use. Windows are smaller then: a mean share of 0.50 instead of 0.54 of 256 x 340 pixels, with
            areas from 0.3 to 1 and ratios from 0.5 to 2.
    """

    area: tuple[float, float] = (0.14, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip_prob: float = 0.5
    antialias: bool = True
    style: CropStyle = "torchvision"

    def __post_init__(self) -> None:
        check_choice("style of random resized crops", self.style, CROP_STYLES)
        _check_range("area", self.area, 1.0)
        _check_range("aspect", self.aspect)
        _check_share("flip_prob", self.flip_prob)

    def sample_box(self, height: int, width: int, size: int, rng: torch.Generator) -> CropBox:
        """Samples the box for frames of `height` x `width` pixels, independently of the output `size`."""
        if self.style == "tf":
            return self._sample_as_tensorflow(height, width, rng)
        for _ in range(10):
            area = height * width * uniform(*self.area, rng)
            aspect = math.exp(uniform(math.log(self.aspect[0]), math.log(self.aspect[1]), rng))
            box_height, box_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < box_height <= height and 0 < box_width <= width:
                top, left = integer(0, height - box_height, rng), integer(0, width - box_width, rng)
                return CropBox(top, left, box_height, box_width, chance(self.flip_prob, rng))
        # Only for very long or tiny frames: the largest central window of an allowed shape.
        box_height = max(1, min(height, round(width / self.aspect[0])))
        box_width = max(1, min(width, round(height * self.aspect[1])))
        top, left = (height - box_height) // 2, (width - box_width) // 2
        return CropBox(top, left, box_height, box_width, chance(self.flip_prob, rng))

    def _sample_as_tensorflow(self, height: int, width: int, rng: torch.Generator) -> CropBox:
        for _ in range(_TF_TRIES):
            found = _tf_shape(height, width, self.area, uniform(*self.aspect, rng), rng)
            if found is not None:
                box_height, box_width = found
                # TensorFlow excludes the last offset, unless the window is as long as the frame.
                top = integer(0, max(0, height - box_height - 1), rng)
                left = integer(0, max(0, width - box_width - 1), rng)
                return CropBox(top, left, box_height, box_width, chance(self.flip_prob, rng))
        return CropBox(0, 0, height, width, chance(self.flip_prob, rng))

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps (C, T, H, W) to (C, T, size, size)."""
        return apply_box(frames, self.sample_box(frames.shape[2], frames.shape[3], size, rng), size, self.antialias)


_TF_TRIES = 100  # CVRL's number; BraVe's is 20


def _tf_shape(
    height: int, width: int, area: tuple[float, float], aspect: float, rng: torch.Generator
) -> tuple[int, int] | None:
    """Samples (height, width) of a window with a given ratio, None if none of an allowed area fits into the frame."""
    low, high = (share * height * width for share in area)
    largest = round(math.sqrt(high / aspect))
    if round(largest * aspect) > width:
        largest = math.floor((width + 0.5 - 1e-7) / aspect)
        largest -= round(largest * aspect) > width
    largest = min(largest, height)
    box_height = integer(min(round(math.sqrt(low / aspect)), largest), largest, rng)
    # Rounding may exceed the bounds by one row.
    if box_height * round(box_height * aspect) < low:
        box_height += 1
    if box_height * round(box_height * aspect) > high:
        box_height -= 1
    box_width = round(box_height * aspect)
    fits = 0 < box_height <= height and 0 < box_width <= width and low <= box_height * box_width <= high
    return (box_height, box_width) if fits else None


def _resized_shape(height: int, width: int, short_side: int, size: int) -> tuple[int, int]:
    """Returns (height, width) of frames whose short side was resized to `short_side`."""
    if short_side < size:
        raise UsageError(f"short_side: a crop of {size} pixels needs at least {size}, got {short_side}")
    if height <= width:
        return short_side, width * short_side // height
    return height * short_side // width, short_side


def _to_source(offset: float, size: int, resized: int, source: int) -> tuple[int, int]:
    """Maps `size` pixels at `offset` of an axis resized from `source` to `resized` pixels to (start, length) there.

    Both edges are rounded to the nearest source pixel: the window equals that of resize-then-crop up to half a source
    pixel, and the first and last window end exactly at the border.
    """
    start, stop = round(offset * source / resized), round((offset + size) * source / resized)
    start = min(start, source - 1)
    return start, max(stop - start, 1)


@dataclass(frozen=True)
class RandomShortSideCrop:
    """Short side resized to a random length, then a random square window (in source pixels, see `_to_source`).

    Attributes:
        short_side: Bounds of the uniform length of the short side in pixels, rounded.
        flip_prob: Probability of a mirrored clip.
        antialias: See `apply_box`; False as released.
        last_offset: Whether the last window of each axis can be sampled; False as released.
    """

    short_side: tuple[int, int] = (128, 160)
    flip_prob: float = 0.5
    antialias: bool = True
    last_offset: bool = True

    def __post_init__(self) -> None:
        _check_range("short_side", self.short_side)
        _check_share("flip_prob", self.flip_prob)

    def sample_box(self, height: int, width: int, size: int, rng: torch.Generator) -> CropBox:
        """Samples the box for frames of `height` x `width` pixels and an output of `size` pixels."""
        resized = _resized_shape(height, width, round(uniform(*self.short_side, rng)), size)
        excluded = 0 if self.last_offset else 1
        offsets = [integer(0, max(side - size - excluded, 0), rng) for side in resized]
        top, box_height = _to_source(offsets[0], size, resized[0], height)
        left, box_width = _to_source(offsets[1], size, resized[1], width)
        return CropBox(top, left, box_height, box_width, chance(self.flip_prob, rng))

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps (C, T, H, W) to (C, T, size, size)."""
        return apply_box(frames, self.sample_box(frames.shape[2], frames.shape[3], size, rng), size, self.antialias)


@dataclass(frozen=True)
class FixedCrop:
    """Fixed crop for tests: short side resized to a given length, one square window at a given position.

    Attributes:
        short_side: Length of the short side in pixels.
        position: Position along the longer side (the width of a square), 0 left or top, 0.5 center, 1 right or bottom;
            centered along the other.
        antialias: See `apply_box`; False as released.
    """

    short_side: int = 128
    position: float = 0.5
    antialias: bool = True

    def __post_init__(self) -> None:
        _check_range("short_side", (self.short_side, self.short_side))
        _check_share("position", self.position)

    def sample_box(self, height: int, width: int, size: int, rng: torch.Generator) -> CropBox:
        """Returns the box for frames of `height` x `width` pixels and an output of `size`; nothing is random."""
        resized = _resized_shape(height, width, self.short_side, size)
        positions = (0.5, self.position) if height <= width else (self.position, 0.5)
        top, box_height = _to_source(positions[0] * (resized[0] - size), size, resized[0], height)
        left, box_width = _to_source(positions[1] * (resized[1] - size), size, resized[1], width)
        return CropBox(top, left, box_height, box_width)

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps (C, T, H, W) to (C, T, size, size)."""
        return apply_box(frames, self.sample_box(frames.shape[2], frames.shape[3], size, rng), size, self.antialias)
