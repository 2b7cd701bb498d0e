"""The compiled color equals a slow loop, for all orders of the steps in both styles; without numba torch is used."""

import sys
from itertools import permutations, product

import pytest
import torch
from test_color import STYLES, clips, slow

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import ColorParams, ColorSettings, apply_color, color_compiled, sample_color

FACTORS = ([1.3, 1.4, 1.2], [0.7, 0.6, 0.8], [1.3, 0.7, 0.6], [0.8, 1.3, 1.4], [1.0, 0.7, 1.0], [1.0, 1.0, 1.0])
SIGMAS = ([0.0, 0.0], [1.7, 1.7], [0.1, 2.0], [0.3, 0.0], [1e-3, 1e-3])


@pytest.fixture
def compiled():
    pytest.importorskip("numba")
    return color_compiled.color_views


@pytest.fixture
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def every_case() -> ColorParams:
    cases = list(product(permutations(range(3)), FACTORS, (False, True), SIGMAS))
    order, factors, gray, sigma = zip(*cases, strict=True)
    return ColorParams(torch.tensor(order), torch.tensor(factors), torch.tensor(gray), torch.tensor(sigma))


@pytest.mark.parametrize("kernel", [11, 5, 15])
@pytest.mark.parametrize("style", STYLES)
def test_every_order_equals_the_slow_loop(compiled, style: str, kernel: int) -> None:
    settings = ColorSettings(style=style, mean=(0.4, 0.45, 0.5), std=(0.2, 0.225, 0.25), blur_kernel=kernel)
    params = every_case()
    video = clips(len(params.gray), frames=2, height=9, width=11)
    found = compiled(video, params, settings)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), slow(video, params, settings), rtol=0, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 5], indirect=True)
def test_threads_and_memory_layout_do_not_change_the_result(compiled, threads) -> None:
    settings = ColorSettings()
    params = sample_color([generator("plan", row) for row in range(6)], settings)
    video = clips()
    found = compiled(video.contiguous(memory_format=torch.channels_last_3d), params, settings)
    torch.testing.assert_close(found, compiled(video, params, settings), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.double(), slow(video, params, settings), rtol=0, atol=1e-5)


def test_apply_color_uses_it_for_bytes_alone(compiled, monkeypatch) -> None:
    called = []
    monkeypatch.setattr("stica_pv.transforms.color.color_views", lambda video, *_: called.append(video.dtype) or video)
    for video in (clips(2), clips(2) / 255):
        apply_color(video, ColorParams.identity(2), ColorSettings())
    assert called == [torch.uint8]


def test_frames_smaller_than_the_blur_are_refused_as_by_torch(compiled) -> None:
    params = ColorParams(torch.arange(3)[None], torch.ones(1, 3), torch.tensor([False]), torch.ones(1, 2))
    with pytest.raises(UsageError, match="needs sides of more than 5 pixels, got 4"):
        compiled(clips(1, height=4), params, ColorSettings())


def test_without_numba_torch_is_used_and_the_start_table_says_so(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "stica_pv.transforms.color_kernel", raising=False)
    color_compiled._load.cache_clear()
    try:
        assert not color_compiled.is_available()
        assert "pip install 'stica_pv[fast]'" in color_compiled.description()
        settings = ColorSettings()
        out = apply_color(clips(), ColorParams.identity(6), settings)
        torch.testing.assert_close(out, (clips() / 255 - 0.45) / 0.225)
    finally:
        color_compiled._load.cache_clear()
