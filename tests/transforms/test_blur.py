import stica_pv.compat  # noqa: F401 - repairs torchvision where it needs it

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import gaussian_blur as torchvision_blur

from stica_pv.errors import UsageError
from stica_pv.transforms import blur
from stica_pv.transforms.blur import blur_matrix, gaussian_blur


def clips() -> torch.Tensor:
    return torch.rand(2, 3, 2, 13, 17, generator=torch.Generator().manual_seed(0))


def test_reflected_blur_is_torchvisions() -> None:
    x, sigma = clips(), torch.tensor([[0.7, 0.7], [1.9, 1.9]])
    ours = gaussian_blur(x, sigma, 7)
    for row in (0, 1):
        theirs = torchvision_blur(x[row].transpose(0, 1), [7, 7], [float(sigma[row, 0])] * 2).transpose(0, 1)
        assert torch.allclose(ours[row], theirs, atol=1e-6)


def test_black_border_is_a_convolution_with_zeros_around() -> None:
    x, sigma = clips(), 1.3
    taps = torch.exp(-0.5 * (torch.arange(-3, 4) / sigma) ** 2)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    slow = F.conv2d(x.flatten(0, 2).unsqueeze(1), kernel.view(1, 1, 7, 7), padding=3).view_as(x)
    assert torch.allclose(gaussian_blur(x, torch.full((2, 2), sigma), 7, "zero"), slow, atol=1e-6)


@pytest.mark.parametrize("border", ["reflect", "zero"])
def test_a_sigma_of_zero_changes_nothing(border) -> None:
    x = clips()
    assert torch.allclose(gaussian_blur(x, torch.zeros(2, 2), 7, border), x, atol=1e-7)


@pytest.mark.parametrize("sigma", [0.15, 0.3, 0.35])
@pytest.mark.parametrize("border", ["reflect", "zero"])
def test_no_weight_is_so_small_that_products_with_it_are_denormal_numbers(border, sigma: float, monkeypatch) -> None:
    weights = blur_matrix(20, torch.tensor([sigma]), 11, border)
    assert weights[weights != 0].min() > 1e-13
    monkeypatch.setattr(blur, "_NOTHING", 0.0)
    torch.testing.assert_close(blur_matrix(20, torch.tensor([sigma]), 11, border), weights, rtol=0, atol=1e-11)


def test_a_kernel_wider_than_the_frame_is_refused() -> None:
    with pytest.raises(UsageError, match="needs sides of more than 13"):
        gaussian_blur(clips(), torch.ones(2, 2), 27)
