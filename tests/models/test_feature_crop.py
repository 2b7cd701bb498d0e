import itertools

import stica_pv.compat  # noqa: F401 - repairs torchvision for pytorchvideo

import pytest
import torch
import torch.nn.functional as F
from pytorchvideo.models.head import create_res_basic_head
from scipy.stats import chi2
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.models import FeatureCrop, boxes_of, plan_crops, sample_boxes, whole_map
from stica_pv.structures import CropPlan

MAP = (4, 3, 5)


def all_boxes(map_shape: tuple[int, int, int]) -> Tensor:
    """Every position of every size: int64 (N, 3, 2)."""
    stretches = [[(a, b) for a in range(cells) for b in range(a + 1, cells + 1)] for cells in map_shape]
    return torch.tensor(list(itertools.product(*stretches)))


def cut(feature_map: Tensor, box: Tensor) -> Tensor:
    (t0, t1), (y0, y1), (x0, x1) = box.tolist()
    return feature_map[:, :, t0:t1, y0:y1, x0:x1]


def slow_tokens(feature_map: Tensor, boxes: Tensor, tokens: int) -> Tensor:
    """Slices, spatial mean, adaptive average pooling over time: (N, B, K, C)."""
    windows = [cut(feature_map, box).mean((3, 4)) for box in boxes]
    return torch.stack([F.adaptive_avg_pool1d(window, tokens).mT for window in windows])


def starts_of(boxes: Tensor, axis: int) -> set[int]:
    return set(boxes[:, axis, 0].tolist())


@pytest.mark.parametrize("tokens", [1, 3, 4, 6])
def test_product_equals_slicing_at_every_position_of_every_size(tokens: int) -> None:
    torch.manual_seed(0)
    feature_map, boxes = torch.randn(2, 3, *MAP), all_boxes(MAP)
    assert len(boxes) == 10 * 6 * 15
    ours = FeatureCrop()(feature_map, plan_crops(boxes, MAP, tokens))
    assert ours.shape == (900, 2, tokens, 3)
    assert (ours - slow_tokens(feature_map, boxes, tokens)).abs().max() < 1e-6


def test_windows_of_each_samples_own_equal_slicing_at_every_position_of_every_size() -> None:
    torch.manual_seed(0)
    feature_map, boxes = torch.randn(2, 3, *MAP), all_boxes(MAP)
    own = torch.stack([boxes, boxes.flip(0)])
    ours = FeatureCrop()(feature_map, plan_crops(own, MAP, 3))
    assert ours.shape == (900, 2, 3, 3)
    for sample in range(2):
        slow = slow_tokens(feature_map[sample : sample + 1], own[sample], 3)
        assert (ours[:, sample : sample + 1] - slow).abs().max() < 1e-6


def test_equal_windows_for_all_samples_give_what_shared_windows_give() -> None:
    feature_map, boxes = torch.randn(3, 2, *MAP), all_boxes(MAP)[::7]
    shared = FeatureCrop()(feature_map, plan_crops(boxes, MAP, 4))
    own = FeatureCrop()(feature_map, plan_crops(boxes.expand(3, -1, -1, -1), MAP, 4))
    assert torch.allclose(shared, own, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 2, 3), (4, 1, 5), (1, 3, 1)])
def test_maps_equal_slicing_at_every_position(size: tuple[int, int, int]) -> None:
    feature_map, boxes = torch.randn(2, 3, *MAP), all_boxes(MAP)
    boxes = boxes[(boxes[..., 1] - boxes[..., 0] == torch.tensor(size)).all(1)]
    shared = FeatureCrop().maps(feature_map, boxes)
    own = FeatureCrop().maps(feature_map, torch.stack([boxes, boxes.flip(0)]))
    for n, box in enumerate(boxes):
        assert torch.equal(shared[n], cut(feature_map, box))  # exact: copied, not calculated
        assert torch.equal(own[n, 0], cut(feature_map, box)[0])  # exact: copied, not calculated
        assert torch.equal(own[-1 - n, 1], cut(feature_map, box)[1])  # exact: copied, not calculated


def test_a_head_of_pytorchvideo_runs_on_the_maps_of_all_windows() -> None:
    feature_map, boxes = torch.randn(2, 3, *MAP), all_boxes(MAP)
    boxes = boxes[(boxes[..., 1] - boxes[..., 0] == torch.tensor((2, 2, 3))).all(1)]
    head = create_res_basic_head(in_features=3, out_features=5, pool_kernel_size=(2, 2, 3), dropout_rate=0.0).eval()
    by_maps = head(FeatureCrop().maps(feature_map, boxes).flatten(0, 1)).unflatten(0, (len(boxes), 2))
    by_tokens = head.proj(FeatureCrop()(feature_map, plan_crops(boxes, MAP, 1))[:, :, 0])
    torch.testing.assert_close(by_maps, by_tokens, atol=1e-5, rtol=1e-5)


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"one size, got sizes \[\[1, 1, 1\], \[1, 1, 2\]\]"):
        FeatureCrop().maps(torch.randn(2, 3, *MAP), all_boxes(MAP)[:2])


def test_gradient_of_the_product_is_the_weights() -> None:
    feature_map = torch.randn(1, 1, *MAP, requires_grad=True)
    box = torch.tensor([[[1, 3], [0, 2], [2, 5]]])
    FeatureCrop()(feature_map, plan_crops(box, MAP, 1)).sum().backward()
    expected = torch.zeros(1, 1, *MAP)
    cut(expected, box[0]).fill_(1 / 12)
    assert torch.allclose(feature_map.grad, expected)


@pytest.mark.parametrize(
    ("length", "tokens", "steps"),
    [
        (3, 4, [{0}, {0, 1}, {1, 2}, {2}]),
        (2, 4, [{0}, {0}, {1}, {1}]),
        (6, 8, [{0}, {0, 1}, {1, 2}, {2}, {3}, {3, 4}, {4, 5}, {5}]),
        (4, 8, [{0}, {0}, {1}, {1}, {2}, {2}, {3}, {3}]),
        (4, 4, [{0}, {1}, {2}, {3}]),
        (5, 2, [{0, 1, 2}, {2, 3, 4}]),
    ],
)
@pytest.mark.parametrize("start", [0, 2])
def test_token_averages_the_steps_of_adaptive_pooling(length: int, tokens: int, steps, start: int) -> None:
    # The first four are those of the published recipes.
    shape = (length + 2, 2, 2)
    box = torch.tensor([[[start, start + length], [0, 2], [0, 2]]])
    time = plan_crops(box, shape, tokens).time[0]
    assert [set((row.nonzero().flatten() - start).tolist()) for row in time] == steps
    assert torch.allclose(time[time > 0], torch.cat([torch.full((len(s),), 1 / len(s)) for s in steps]))


def test_large_crop_reaches_the_last_row_and_column() -> None:
    boxes = sample_boxes(200, (4, 6, 6), (4, 7, 7), generator("reach"))
    assert starts_of(boxes, 1) == starts_of(boxes, 2) == {0, 1}
    coverage = plan_crops(boxes, (4, 7, 7), 4).space.sum(0).unflatten(0, (7, 7))
    assert (coverage[6] > 0).all()
    assert (coverage[:, 6] > 0).all()


@pytest.mark.parametrize("size", [(8, 4, 4), (6, 7, 7), (3, 6, 5), (1, 1, 7), (8, 7, 7)])
def test_every_position_is_equally_likely(size: tuple[int, int, int]) -> None:
    shape, draws = (8, 7, 7), 20_000
    positions = [cells - length + 1 for cells, length in zip(shape, size, strict=True)]
    boxes = sample_boxes(draws, size, shape, generator("coverage", *size))
    assert (boxes[..., 1] - boxes[..., 0] == torch.tensor(size)).all()
    t, y, x = boxes[..., 0].unbind(1)
    kinds = positions[0] * positions[1] * positions[2]
    counts = torch.bincount((t * positions[1] + y) * positions[2] + x, minlength=kinds).double()
    assert counts.shape == (kinds,)
    assert counts.min() > 0
    statistic = ((counts - draws / kinds).square() / (draws / kinds)).sum()
    assert statistic <= chi2.ppf(0.999, max(1, kinds - 1))


@pytest.mark.parametrize(
    ("steps", "large", "large_starts", "small", "small_starts"),
    [(4, 3, 1, 2, 2), (8, 6, 2, 4, 4), (12, 6, 6, 4, 8), (15, 6, 9, 4, 11)],
)
def test_exclusive_bound_draws_the_released_temporal_starts(steps, large, large_starts, small, small_starts) -> None:
    for length, starts in ((large, large_starts), (small, small_starts)):
        rng = generator("released", steps, length)
        boxes = sample_boxes(600, (length, 7, 7), (steps, 7, 7), rng, exclusive_bound=True)
        assert starts_of(boxes, 0) == set(range(starts))
        assert starts_of(boxes, 1) == starts_of(boxes, 2) == {0}


def test_exclusive_bound_keeps_large_crops_in_the_corner_and_small_ones_off_the_last_row_and_column() -> None:
    large = sample_boxes(100, (4, 6, 6), (4, 7, 7), generator("large"), exclusive_bound=True)
    assert not large[..., 0].any()
    small = sample_boxes(400, (4, 4, 4), (4, 7, 7), generator("small"), exclusive_bound=True)
    assert {tuple(start) for start in small[:, 1:, 0].tolist()} == set(itertools.product(range(3), range(3)))


def test_equal_generators_draw_equal_boxes() -> None:
    first, again, other = (sample_boxes(9, (2, 2, 2), (9, 9, 9), generator("box", seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)  # exact: integers
    assert not torch.equal(first, other)


@pytest.mark.parametrize("size", [(5, 7, 7), (4, 8, 7), (4, 7, 8), (0, 7, 7)])
@pytest.mark.parametrize("exclusive_bound", [False, True])
def test_impossible_crop_is_refused_with_its_numbers(size: tuple[int, int, int], exclusive_bound: bool) -> None:
    message = rf"{size}.*\(4, 7, 7\)".replace(f"{size}", "\\(" + ", ".join(map(str, size)) + "\\)")
    with pytest.raises(UsageError, match=message):
        sample_boxes(1, size, (4, 7, 7), generator("impossible"), exclusive_bound=exclusive_bound)


@pytest.mark.parametrize("box", [[[0, 5], [0, 3], [0, 5]], [[0, 4], [-1, 3], [0, 5]], [[2, 2], [0, 3], [0, 5]]])
def test_box_outside_the_map_is_refused(box: list[list[int]]) -> None:
    with pytest.raises(UsageError, match=r"inside a feature map of \(4, 3, 5\)"):
        plan_crops(torch.tensor([box]), MAP, 4)


@pytest.mark.parametrize("shape", [(5, 3, 5), (4, 3, 4), (4, 4, 5)])
def test_plan_for_another_map_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match=r"does not fit the map float32\(2, 3, "):
        FeatureCrop()(torch.randn(2, 3, *shape), plan_crops(whole_map(MAP), MAP, 4))


@pytest.mark.parametrize("samples", [1, 3])
def test_plan_for_another_number_of_samples_is_refused(samples: int) -> None:
    plan = plan_crops(whole_map(MAP).expand(samples, -1, -1, -1), MAP, 4)
    with pytest.raises(UsageError, match="does not fit the map"):
        FeatureCrop()(torch.randn(2, 3, *MAP), plan)


@pytest.mark.parametrize("own", [False, True])
def test_half_precision_maps_are_averaged_in_fp32(own: bool) -> None:
    feature_map, boxes = torch.randn(2, 3, *MAP).bfloat16(), all_boxes(MAP)[::11]
    plan = plan_crops(boxes.expand(2, -1, -1, -1) if own else boxes, MAP, 4)
    exact = FeatureCrop()(feature_map.double(), CropPlan(plan.space.double(), plan.time.double()))
    with torch.autocast("cpu", torch.bfloat16):
        ours = FeatureCrop()(feature_map, plan)
        from_fp32 = FeatureCrop()(feature_map.float(), plan)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, from_fp32)  # exact: the same code with the same shapes, twice
    assert (ours - exact).abs().max() < 1e-6


def test_whole_map_is_one_window() -> None:
    assert whole_map((4, 7, 6)).tolist() == [[[0, 4], [0, 7], [0, 6]]]


def test_boxes_of_a_plan_are_those_it_was_made_of():
    rng = torch.Generator().manual_seed(0)
    for map_shape in ((1, 4, 4), (7, 5, 3), (4, 7, 7)):
        sizes = [(map_shape[0], 2, 3), (1, 1, 1), map_shape, (max(1, map_shape[0] - 1), map_shape[1], map_shape[2])]
        boxes = torch.cat([sample_boxes(6, size, map_shape, rng) for size in sizes])
        assert torch.equal(boxes_of(plan_crops(boxes, map_shape, 2), map_shape), boxes)
        own = boxes.view(3, -1, 3, 2)  # each sample's own
        assert torch.equal(boxes_of(plan_crops(own, map_shape, 2), map_shape), own)  # exact: integers


@pytest.mark.parametrize(
    ("maps", "windows", "expected"),
    [
        (torch.zeros(2, 3, 2, 4, 4), torch.zeros(1, 3, 2), r"expects a CropPlan, got float32\(1, 3, 2\).*plan_crops"),
        (torch.zeros(2, 3, 4), None, r"expected a feature map \(B, C, T, H, W\), got float32\(2, 3, 4\)"),
    ],
    ids=["boxes", "map of three axes"],
)
def test_a_wrong_map_or_boxes_instead_of_a_plan_say_what_was_expected(
    maps: torch.Tensor, windows: torch.Tensor | None, expected: str
):
    plan = plan_crops(torch.tensor([[[0, 2], [0, 2], [0, 2]]]), (2, 4, 4), 2) if windows is None else windows
    with pytest.raises(UsageError, match=expected):
        FeatureCrop()(maps, plan)
    with pytest.raises(UsageError, match=r"expected (a feature map|boxes \(N, 3, 2\))"):
        FeatureCrop().maps(maps, torch.zeros(3))
