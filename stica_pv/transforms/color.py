"""Color jitter, grayscale, blur and normalization by parameters sampled per clip; applying them is deterministic.

A GPU processes the whole batch at once, a CPU a few frames at a time: compiled where numba is installed
(color_compiled.py), else by torch (color_cpu.py). Results are the same up to rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.precision import full_precision
from stica_pv.structures import describe
from stica_pv.transforms.blur import gaussian_blur
from stica_pv.transforms.color_compiled import color_views, is_available
from stica_pv.transforms.color_cpu import FrameBlocks, clip_blur, color_frames
from stica_pv.transforms.color_ops import luma, normalize_
from stica_pv.transforms.color_params import CONTRAST, SATURATION, ColorParams, ColorSettings
from stica_pv.transforms.color_passes import color_passes


@torch.no_grad()
def apply_color(video: Tensor, params: ColorParams, settings: ColorSettings) -> Tensor:
    """Applies color parameters and normalizes.

    Args:
        video: RGB frames (B, 3, T, H, W), uint8, or floating point in [0, 1]; not modified.
        params: One row per sample, on any device; from the CPU it is moved without waiting for the device.
        settings: Settings whose kernel width, mean, std and style are used; strengths only matter for sampling.

    Returns:
        float32 (B, 3, T, H, W), also under autocast.
    """
    if video.ndim != 5 or video.shape[1] != 3 or not (video.dtype == torch.uint8 or video.is_floating_point()):
        raise UsageError(f"video: expected uint8 or float (B, 3, T, H, W), got {describe(video)}")
    if video.shape[0] != params.gray.shape[0]:
        raise UsageError(f"video {describe(video)} does not fit parameters for {params.gray.shape[0]} samples")
    with full_precision(video.device):
        if video.device.type != "cpu":
            return _on_device(video, params, settings)
        compiled = video.dtype == torch.uint8 and is_available()
        return (color_views if compiled else _on_processor)(video, params, settings)


def _on_device(video: Tensor, params: ColorParams, settings: ColorSettings) -> Tensor:
    """Processes the whole batch at once, and never waits for the device."""
    released, weights = settings.style == "released", settings.gray_weights
    params = params.to(video.device)
    rows = params.touched()
    x = video.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    if video.dtype == torch.uint8:
        x.div_(255)
    if released:
        normalize_(x, settings.mean, settings.std)
    if len(rows.jitter):
        _jitter_(x, params, weights, clip=not released)
    if len(rows.gray):
        gray = luma(x.index_select(0, rows.gray), weights)
        x.index_copy_(0, rows.gray, gray.expand(-1, 3, -1, -1, -1))
    if len(rows.blur):
        sigma = params.sigma.index_select(0, rows.blur)
        x.index_copy_(0, rows.blur, gaussian_blur(x.index_select(0, rows.blur), sigma, settings.blur_kernel))
    return x if released else normalize_(x, settings.mean, settings.std)


def _on_processor(video: Tensor, params: ColorParams, settings: ColorSettings) -> Tensor:
    """Processes a few frames of a clip at a time, which stay in the cache from the first step to the last."""
    out = torch.empty(video.shape, dtype=torch.float32)
    scale = 1 / 255 if video.dtype == torch.uint8 else 1.0
    blocks = FrameBlocks(video.shape[1:])
    parameters = zip(
        params.order.tolist(), params.factors.tolist(), params.gray.tolist(), params.sigma.cpu(), strict=True
    )
    for into, clip, (order, factors, gray, sigma) in zip(out, video, parameters, strict=True):
        passes = color_passes(order, factors, gray=gray, scale=scale, settings=settings)
        blur = clip_blur(clip.shape[-2:], sigma, settings.blur_kernel)
        planes = clip.contiguous()  # from channels last; bytes are copied faster than floats
        for frames, x, scratch in blocks:
            x.copy_(planes[:, frames].transpose(1, 2))
            color_frames(x, passes, blur, scratch=scratch, into=into[:, frames].transpose(1, 2))
    return out


def _jitter_(x: Tensor, params: ColorParams, weights: Sequence[float], *, clip: bool) -> None:
    """Applies three steps in place; each blends every sample with the base of its step, f x + (1 - f) base.

    The base is black for brightness, the frame's mean gray for contrast, and the gray frame for saturation.
    """
    for step in params.order.unbind(1):
        factor = params.factors.gather(1, step[:, None]).view(-1, 1, 1, 1, 1)
        step = step.view(-1, 1, 1, 1, 1)
        base = luma(x, weights)
        level = base.mean((-2, -1), keepdim=True).mul_((1 - factor) * (step == CONTRAST))
        base.mul_((1 - factor) * (step == SATURATION)).add_(level)
        torch.addcmul(base, x, factor, out=x)
        if clip:
            x.clamp_(0, 1)
