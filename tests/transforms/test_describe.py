"""Descriptions of augmentation parameters."""

import torch

from stica_pv.transforms import (
    BraveColorParams,
    ColorParams,
    SimclrColorParams,
    SimclrColorSettings,
    SpecAugmentParams,
    sample_random_convolution,
)


def test_color_names_its_steps_in_the_order_they_are_taken():
    factors = torch.tensor([[1.25, 0.5, 1.0], [1.0, 1.0, 1.0]])
    order = torch.tensor([[1, 0, 2], [0, 1, 2]])
    params = ColorParams(order, factors, torch.tensor([True, False]), torch.tensor([[1.5, 1.5], [0.0, 0.0]]))
    assert params.describe(0) == "contrast × 0.50, brightness × 1.25, gray, blur 1.50 px"
    assert params.describe(1) == "unchanged colors"


def test_distortion_describes_each_clip_and_of_the_first_of_differing_frames():
    values = torch.tensor([[1.0, 1.0, 1.0, -0.1], [1.0, 1.0, 1.5, 0.0]])
    params = SimclrColorParams(
        torch.tensor([[3, 2, 1, 0]]).repeat(2, 1),
        values,
        torch.tensor([False, True]),
        torch.tensor([0.0, 2.0]),
        torch.tensor([True, False]),
    )
    descriptions = ("hue -0.10, solarized", "saturation × 1.50, gray, blur 2.00 px")
    assert params.describe_by_clip(SimclrColorSettings(), frames=8) == descriptions
    by_frame = params.describe_by_clip(SimclrColorSettings(per_frame=True), frames=2)
    assert by_frame == ("per frame, the first: hue -0.10, solarized",)


def test_brave_colors_are_reported_only_where_they_were_drawn():
    values = torch.tensor([[0.1, 1.2, 0.8, -0.05]]).repeat(2, 1)
    params = BraveColorParams(
        torch.tensor([True, False]), values, torch.tensor([False, True]), torch.tensor([0.0, 1.0])
    )
    assert params.describe(0) == "brightness +0.10, saturation × 1.20, contrast × 0.80, hue -0.05"
    assert params.describe(1) == "blur 1.00 px, gray"


def test_masks_are_reported_with_both_ends_and_empty_ones_not_at_all():
    params = SpecAugmentParams(torch.tensor([[[3, 2]], [[5, 0]]]), torch.tensor([[[7, 1]], [[0, 0]]]))
    assert params.describe(0) == "masked: bands 3 to 4, columns 7 to 7"
    assert params.describe(1) == "no mask"


def test_a_convolution_states_its_side():
    rngs = [torch.Generator().manual_seed(seed) for seed in range(8)]
    descriptions = [sample_random_convolution([rng], 1.0).describe(0) for rng in rngs]
    assert set(descriptions) <= {f"random convolution {side} × {side}" for side in (1, 3, 5, 7, 9, 11)}
    assert len(set(descriptions)) > 2
    assert sample_random_convolution(rngs[:1], 0.0).describe(0) == "no convolution"
