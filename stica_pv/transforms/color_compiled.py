"""Color of a batch on the CPU by the compiled functions of `color_kernel.py`, where numba is installed.

numba compiles once and caches the result in NUMBA_CACHE_DIR if set, else beside the module, else (where that folder is
read-only) in the user's cache folder.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stica_pv.transforms.blur import check_reach, gauss_taps
from stica_pv.transforms.color_params import ColorParams, ColorSettings
from stica_pv.transforms.color_passes import ColorPass, color_passes

Floats = NDArray[np.float32]
_DISTANCES = 3
"""The kernel adds pixels at so many distances at a time."""


@cache
def _load() -> tuple[Callable[..., None] | None, str]:
    """Returns the compiled function, if any, and what is used."""
    try:
        import numba

        from stica_pv.transforms.color_kernel import color_clip
    except ImportError as error:  # also where numba is too old or too new for this numpy
        return None, f"torch; twice as fast with pip install 'stica_pv[fast]' ({error})"
    stats: Any = getattr(color_clip, "stats", None)
    cached = bool(stats and stats.cache_path)
    note = "" if cached else ", compiled by each process: set NUMBA_CACHE_DIR to a writable folder"
    return color_clip, f"numba {numba.__version__}{note}"


def description() -> str:
    """Describes what changes colors on a CPU: numba, or torch and why."""
    return _load()[1]


def is_available() -> bool:
    """Returns whether numba is installed."""
    return _load()[0] is not None


def color_views(video: Tensor, params: ColorParams, settings: ColorSettings) -> Tensor:
    """Applies color parameters and normalizes, with as many threads as torch; the threads do not change the result.

    Args:
        video: RGB frames, uint8 (B, 3, T, H, W); not copied if they are channels last.
        params: One row per sample.
        settings: See `apply_color`.

    Returns:
        float32 (B, 3, T, H, W).
    """
    kernel = _load()[0]
    if kernel is None:
        raise RuntimeError("numba is not installed; ask is_available first")
    out = torch.empty(video.shape, dtype=torch.float32)
    pixels, into = video.permute(0, 2, 3, 4, 1).flatten(2).contiguous().numpy(), out.numpy()
    rows = zip(params.order.tolist(), params.factors.tolist(), params.gray.tolist(), params.sigma.cpu(), strict=True)
    clips = []
    for order, factors, gray, sigma in rows:
        passes = color_passes(order, factors, gray=gray, scale=1 / 255, settings=settings)
        clips.append((*_as_arrays(passes), gray, _half_taps(sigma, settings.blur_kernel, video.shape[-2:])))
    frames, threads = video.shape[2], torch.get_num_threads()

    def run(block: tuple[int, int]) -> None:
        clip, begin = block
        kernel(pixels[clip], begin, min(begin + length, frames), *clips[clip], into[clip])

    length = frames if threads == 1 else -(-frames // min(threads, frames))
    blocks = list(itertools.product(range(len(clips)), range(0, frames, length)))
    for block in blocks if threads == 1 else blocks[:1]:  # the first call may compile: never in two threads at once
        run(block)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:  # they end here, so that a fork afterwards meets no thread
            list(pool.map(run, blocks[1:]))
    return out


def _as_arrays(passes: Sequence[ColorPass]) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.bool_]]:
    """Returns matrices, offsets, gains, levels and clips of `color_clip`."""
    count = len(passes)
    matrices, offsets, gains = np.zeros((count, 3, 3)), np.zeros((count, 3)), np.zeros((count, 3))
    levels = np.zeros((count, 4))
    for p, affine in enumerate(one.affine for one in passes):
        channels, given = affine.matrix.shape
        matrices[p, :channels, :given] = affine.matrix.numpy()
        offsets[p, :channels], gains[p, :channels] = affine.offset.numpy(), affine.gain.numpy()
        if affine.level is not None:
            weights, black = affine.level
            levels[p, : len(weights)], levels[p, 3] = weights.numpy(), black
    floats = (values.astype(np.float32) for values in (matrices, offsets, gains, levels))
    return *floats, np.array([one.clips for one in passes])  # type: ignore[return-value]


def _half_taps(sigma: Tensor, kernel: int, size: torch.Size) -> Floats:
    """Returns the taps along height and width from the center on, (2, R); R is 0 where nothing is blurred."""
    if not bool((sigma > 0).any()):
        return np.zeros((2, 0), np.float32)
    for side in size:
        check_reach(side, kernel)
    gauss = gauss_taps(sigma, kernel)
    half = (gauss / gauss.sum(1, keepdim=True))[:, kernel // 2 :].numpy()
    reach = int(np.flatnonzero(half.any(0))[-1])
    taps = np.zeros((2, 1 + -(-reach // _DISTANCES) * _DISTANCES), np.float32)
    taps[:, : reach + 1] = half[:, : reach + 1]
    return taps if reach else taps[:, :0].copy()
