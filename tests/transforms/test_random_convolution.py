from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import apply_random_convolution, sample_random_convolution

DRAWS = 1200


def sample_kernels(count: int, prob: float = 1.0) -> torch.Tensor:
    return sample_random_convolution([generator("kernel", i) for i in range(count)], prob).kernels


def side_of(kernel: torch.Tensor) -> int:
    """Side of the smallest centered square that holds everything."""
    ring = torch.arange(11) - 5
    distance = torch.maximum(ring.abs()[:, None], ring.abs())
    return 2 * int(distance[kernel.abs().sum((0, 1)) > 0].max()) + 1


def test_sides_are_odd_and_equally_frequent() -> None:
    found = Counter(side_of(kernel) for kernel in sample_kernels(DRAWS))
    assert sorted(found) == [1, 3, 5, 7, 9, 11]
    assert all(abs(count - DRAWS / 6) < 50 for count in found.values())  # four standard deviations


def test_weights_are_he_normal_cut_at_two_deviations() -> None:
    kernels = {side: [k for k in sample_kernels(DRAWS) if side_of(k) == side] for side in (3, 11)}
    for side, found in kernels.items():
        margin = (11 - side) // 2
        weights = torch.stack(found)[:, :, :, margin : margin + side, margin : margin + side]
        he = (2 / (3 * side * side)) ** 0.5
        assert weights.std().item() == pytest.approx(he, rel=0.02)
        assert weights.mean().item() == pytest.approx(0, abs=0.02 * he)
        assert weights.abs().max().item() <= 2 * he / 0.8796 * 1.001


def test_each_clip_is_filtered_by_its_own_small_kernel_on_every_frame() -> None:
    params = sample_random_convolution([generator("kernel", i) for i in range(6)], 1.0)
    video = torch.rand(6, 3, 4, 13, 9)
    filtered = apply_random_convolution(video, params)
    assert filtered.shape == video.shape
    for clip, kernel, result in zip(video, params.kernels, filtered, strict=True):
        side = side_of(kernel)
        margin = (11 - side) // 2
        small = kernel[:, :, margin : margin + side, margin : margin + side]
        for t in range(4):
            expected = F.conv2d(clip[:, t].unsqueeze(0), small, padding=side // 2)[0]
            assert torch.allclose(result[:, t], expected, atol=1e-5)


def test_clips_that_are_spared_stay_as_they_are() -> None:
    video = torch.rand(3, 3, 2, 12, 12)
    rngs = [generator("kernel", i) for i in range(3)]
    torch.testing.assert_close(
        apply_random_convolution(video, sample_random_convolution(rngs, 0.0)), video, rtol=0, atol=1e-6
    )
    identity = torch.zeros(3, 3, 11, 11)
    identity[:, :, 5, 5] = torch.eye(3)
    # exact: the same generators draw the same
    share = sum(torch.equal(kernel, identity) for kernel in sample_kernels(DRAWS, 0.3)) / DRAWS
    assert share == pytest.approx(0.7, abs=0.06)


def test_equal_keys_give_equal_kernels() -> None:
    assert torch.equal(sample_kernels(5), sample_kernels(5))  # exact: the same generators draw the same
    assert not torch.equal(sample_kernels(2)[0], sample_kernels(2)[1])


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UsageError, match="BRAVE.RANDOM_CONV_PROB: expected 0 to 1, got 1.5"):
        sample_random_convolution([generator("kernel")], 1.5)
    params = sample_random_convolution([generator("kernel")], 1.0)
    with pytest.raises(UsageError, match=r"expected float \(B, 3, T, H, W\) with B = 1, got uint8"):
        apply_random_convolution(torch.zeros(1, 3, 1, 12, 12, dtype=torch.uint8), params)
