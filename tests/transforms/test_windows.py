import pytest
import torch

from stica_pv.keyed_random import generator
from stica_pv.structures import Window
from stica_pv.tasks import one_window


def starts(duration_s: float, seconds: float, draws: int = 2000) -> torch.Tensor:
    rng, policy = generator("windows"), one_window("clip", seconds)
    return torch.tensor([policy(duration_s, rng)["clip"].start_s for _ in range(draws)], dtype=torch.float64)


def test_start_is_uniform_over_all_that_fit() -> None:
    found = starts(10.0, 2.0)
    assert 0 <= found.min() < 0.05
    assert 7.95 < found.max() <= 8
    assert found.mean().item() == pytest.approx(4, abs=0.2)
    assert found.std().item() == pytest.approx(8 / 12**0.5, abs=0.1)


@pytest.mark.parametrize("duration_s", [2.0, 1.3])
def test_file_no_longer_than_the_window_is_read_from_its_start(duration_s: float) -> None:
    assert not starts(duration_s, 2.0, draws=5).any()


@pytest.mark.parametrize("at_end", ["shift", "pad", "loop"])
def test_window_has_the_asked_name_length_and_end(at_end) -> None:
    windows = one_window("audio", 1.5, at_end)(9.0, generator("one"))
    assert list(windows) == ["audio"]
    assert (windows["audio"].seconds, windows["audio"].at_end) == (1.5, at_end)


def test_policy_is_a_function_of_duration_and_generator() -> None:
    first, second = one_window("clip", 2.0), one_window("clip", 2.0)
    first(50.0, generator("other"))
    a, b = (policy(30.0, generator("window", 7))["clip"] for policy in (first, second))
    assert isinstance(a, Window)
    assert a == b
