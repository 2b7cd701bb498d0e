"""Windows average the computed positions inside them, and nothing else."""

import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.models import FeatureCrop, check_token_drop, create_r2plus1d_10, keep_computed, plan_crops, sample_kept

SHAPE = (4, 3, 3)
BOXES = torch.tensor([[[0, 4], [0, 3], [0, 3]], [[0, 4], [0, 2], [1, 3]], [[1, 3], [2, 3], [2, 3]]])


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("per_sample", [False, True])
def test_windows_are_means_over_their_computed_cells(per_sample: bool) -> None:
    maps = torch.randn(2, 5, *SHAPE, dtype=torch.float64)
    kept = torch.tensor([[0, 2, 8], [1, 4, 6]])
    boxes = torch.stack([BOXES, BOXES.flip(0)]) if per_sample else BOXES
    tokens = FeatureCrop()(maps, keep_computed(plan_crops(boxes, SHAPE, tokens=2), kept))
    for clip in range(2):
        own = boxes[clip] if per_sample else boxes
        for number, ((t0, t1), (y0, y1), (x0, x1)) in enumerate(own.tolist()):
            inside = [p for p in kept[clip].tolist() if y0 <= p // 3 < y1 and x0 <= p % 3 < x1]
            half = (t1 - t0) // 2
            for token, steps in enumerate((range(t0, t0 + half), range(t0 + half, t1))):
                cells = [maps[clip, :, t, p // 3, p % 3] for t in steps for p in inside or kept[clip].tolist()]
                expected = torch.stack(cells).mean(0)
                torch.testing.assert_close(tokens[number, clip, token], expected, rtol=1e-6, atol=1e-6)


def test_with_every_position_kept_windows_are_those_of_the_plan() -> None:
    plan = plan_crops(BOXES, SHAPE, tokens=3)
    whole = keep_computed(plan, torch.arange(9).expand(2, -1))
    for clip in range(2):
        torch.testing.assert_close(whole.space[clip], plan.space)
        torch.testing.assert_close(whole.time[clip], plan.time)


def test_positions_are_uniform_distinct_and_keyed_by_their_generator() -> None:
    kept = sample_kept(0.5, 7, [rng(seed) for seed in range(400)])
    assert kept.shape == (400, 4)  # round(3.5), halves to even
    assert (kept.diff(dim=1) > 0).all()
    shares = torch.bincount(kept.flatten(), minlength=7) / 400
    assert shares.sub(4 / 7).abs().max() < 0.1
    torch.testing.assert_close(kept[3], sample_kept(0.5, 7, [rng(3)])[0])
    assert sample_kept(0.95, 4, [rng(0)]).shape == (1, 1)


def test_a_trunk_that_computes_its_whole_map_is_refused() -> None:
    check_token_drop(0.0, create_r2plus1d_10(width=4))
    with pytest.raises(UsageError, match="MODEL.TOKEN_DROP 0.5: this trunk computes its whole map; set it to 0"):
        check_token_drop(0.5, create_r2plus1d_10(width=4))
