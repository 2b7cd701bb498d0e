import math

import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms.windows import IntervalSettings, independent_windows, interval_windows

LENGTH, SECONDS = 10.0, 1.24
LARGEST = LENGTH - SECONDS
DRAWS = 4000


def starts(settings: IntervalSettings, duration: float = LENGTH) -> tuple[torch.Tensor, torch.Tensor]:
    policy = interval_windows(("a", "b"), SECONDS, settings)
    drawn = [policy(duration, generator("interval", i)) for i in range(DRAWS)]
    return tuple(torch.tensor([windows[name].start_s for windows in drawn]) for name in ("a", "b"))


CUMULATIVE = {  # share of distances below x · M
    ("power", 1.0): lambda x: 2 * x - x * x,
    ("power", 0.5): lambda x: 3 * x - 2 * x**1.5,
    ("power", 3.0): lambda x: (4 * x - x**4) / 3,
    ("uniform", 1.0): lambda x: x,
    ("increasing", 1.0): lambda x: x * x,
}


@pytest.mark.parametrize(("kind", "power"), CUMULATIVE)
def test_distances_follow_their_density(kind: str, power: float) -> None:
    first, second = starts(IntervalSettings(kind, power))
    share = ((second - first).abs() / LARGEST).sort().values
    expected = torch.tensor([CUMULATIVE[kind, power](float(x)) for x in share])
    empirical = torch.arange(1, DRAWS + 1) / DRAWS
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed by chance once in a thousand times.
    assert (empirical - expected).abs().max().item() < 1.95 / math.sqrt(DRAWS)


def test_the_released_inverse_for_the_linear_decrease() -> None:
    settings = IntervalSettings("power", 1.0)
    for u in (0.0, 0.2, 0.77, 0.999):
        assert settings.distance(7.0, u) == pytest.approx(7.0 * (1 - math.sqrt(1 - u)))


@pytest.mark.parametrize("power", [0.3, 0.999, 2.0, 10.0])
def test_distance_inverts_the_distribution(power: float) -> None:
    for u in (0.01, 0.4, 0.9):
        x = IntervalSettings("power", power).distance(1.0, u)
        assert ((power + 1) * x - x ** (power + 1)) / power == pytest.approx(u, abs=1e-9)


def test_clips_lie_within_the_video_in_either_order() -> None:
    first, second = starts(IntervalSettings())
    assert min(first.min(), second.min()) >= 0
    assert max(first.max(), second.max()) <= LARGEST + 1e-9
    assert max(first.max(), second.max()) > 0.98 * LARGEST
    assert (first < second).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_constant_gap_is_kept_where_it_fits() -> None:
    first, second = starts(IntervalSettings("constant", gap_seconds=2.0))
    assert torch.allclose((second - first).abs(), torch.tensor(2.0), atol=1e-6)
    first, second = starts(IntervalSettings("constant", gap_seconds=0.0))
    assert torch.equal(first, second)  # exact: equal generators give equal values
    first, second = starts(IntervalSettings("constant", gap_seconds=99.0))
    assert torch.allclose((second - first).abs(), torch.tensor(LARGEST), atol=1e-5)


def test_a_video_shorter_than_a_clip_is_looped_from_any_two_starts() -> None:
    first, second = starts(IntervalSettings(), duration=1.0)
    for drawn in (first, second):
        assert 0 <= drawn.min() < 0.01
        assert 0.99 < drawn.max() < 1.0
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 0.05
    windows = interval_windows(("a", "b"), SECONDS, IntervalSettings())(1.0, generator("x"))
    assert all(window.at_end == "loop" for window in windows.values())


def test_independent_windows_are_uniform_and_unrelated() -> None:
    policy = independent_windows(("1", "2"), 1.0)
    drawn = [policy(5.0, generator("two", i)) for i in range(2000)]
    first, second = (torch.tensor([windows[name].start_s for windows in drawn]) for name in ("1", "2"))
    for values in (first, second):
        assert 0 <= values.min() < 0.02
        assert 3.98 < values.max() <= 4.0
        assert values.mean().item() == pytest.approx(2.0, abs=0.1)
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 0.07


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="CVRL.INTERVAL"):
        IntervalSettings("quadratic")
    with pytest.raises(UsageError, match="POWER must be > 0"):
        IntervalSettings(power=0.0)
