import math

import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.tasks.brave.windows import ALIGNMENTS, BROAD, NARROW, narrow_in_broad

NARROW_S, BROAD_S = 1.28, 10.24
DRAWS = 4000
TOLERANCE = 1.95 / math.sqrt(DRAWS)  # Kolmogorov-Smirnov: passed by chance once in a thousand times


def starts(alignment: str, duration: float, draws: int = DRAWS) -> tuple[torch.Tensor, torch.Tensor]:
    policy = narrow_in_broad(NARROW_S, BROAD_S, alignment)
    drawn = [policy(duration, generator("brave", i)) for i in range(draws)]
    return tuple(
        torch.tensor([windows[name].start_s for windows in drawn], dtype=torch.float64) for name in (NARROW, BROAD)
    )


def from_uniform(values: torch.Tensor, low: float, high: float) -> float:
    """Largest distance of the empirical distribution from that of U(low, high); none may lie outside."""
    assert values.min() >= low - 1e-9
    assert values.max() <= high + 1e-9
    shares = (values.sort().values - low) / (high - low)
    return (shares - torch.arange(1, len(values) + 1) / len(values)).abs().max().item()


@pytest.mark.parametrize("duration", [10.0, 30.0, 2.0])
def test_aligned_windows_begin_together_at_any_narrow_start(duration: float) -> None:
    narrow, broad = starts("start", duration)
    assert torch.equal(narrow, broad)  # exact: equal generators give equal values
    assert from_uniform(narrow, 0, duration - NARROW_S) < TOLERANCE


@pytest.mark.parametrize(("duration", "slack"), [(30.0, 19.76), (10.0, 9.76), (4.0, 1.76), (10.24, 0.0)])
def test_a_random_narrow_window_lies_anywhere_within_a_broad_one_of_the_repeated_video(
    duration: float, slack: float
) -> None:
    narrow, broad = starts("random", duration)
    assert from_uniform(narrow - broad, 0, BROAD_S - NARROW_S) < TOLERANCE
    if slack:
        assert from_uniform(broad, 0, slack) < TOLERANCE
        assert abs(torch.corrcoef(torch.stack((narrow - broad, broad)))[0, 1]) < 0.06
    else:
        assert not broad.any()


@pytest.mark.parametrize(("duration", "slack"), [(30.0, 19.76), (10.0, 9.76)])
def test_independent_windows_know_nothing_of_each_other(duration: float, slack: float) -> None:
    narrow, broad = starts("independent", duration)
    assert from_uniform(narrow, 0, duration - NARROW_S) < TOLERANCE
    assert from_uniform(broad, 0, slack) < TOLERANCE
    assert abs(torch.corrcoef(torch.stack((narrow, broad)))[0, 1]) < 0.06


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_video_shorter_than_the_narrow_window_is_repeated(alignment: str) -> None:
    windows = narrow_in_broad(NARROW_S, BROAD_S, alignment)(0.5, generator("short"))
    assert {name: (window.seconds, window.at_end) for name, window in windows.items()} == {
        NARROW: (NARROW_S, "loop"),
        BROAD: (BROAD_S, "loop"),
    }
    assert all(window.start_s >= 0 for window in windows.values())


def test_a_broad_window_shorter_than_the_narrow_one_is_refused() -> None:
    with pytest.raises(UsageError, match="increase BRAVE.BROAD_FRAMES / BRAVE.BROAD_FPS"):
        narrow_in_broad(2.0, 1.9)
    with pytest.raises(UsageError, match=r"BRAVE.ALIGNMENT: got 'begin'"):
        narrow_in_broad(1.0, 2.0, "begin")
