"""Axes: round ticks that cover the values, and numbers as short texts."""

import pytest

from stica_pv.report.scale import decimals_of, position, scale_of, short_number


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1.88, 3.7], (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)),
        ([0.0, 100.0], (0.0, 50.0, 100.0)),
        ([-2.4, -1.4], (-2.5, -2.0, -1.5, -1.0)),
        ([0.0, 0.001], (0.0, 0.0005, 0.001)),
        ([], (0.0, 0.5, 1.0)),
    ],
)
def test_ticks_are_round_and_around_the_values(values: list[float], ticks: tuple[float, ...]):
    scale = scale_of(values)
    assert scale.ticks == pytest.approx(ticks)
    assert (scale.low, scale.high) == (scale.ticks[0], scale.ticks[-1])
    assert all(scale.low <= value <= scale.high for value in values)


def test_a_tight_axis_ends_at_the_extreme_values():
    scale = scale_of([1.0, 16.0], tight=True)
    assert (scale.low, scale.high) == (1.0, 16.0)
    assert scale.ticks == (5.0, 10.0, 15.0)


def test_a_constant_has_an_axis_within_its_limits():
    assert scale_of([100.0], limits=(0.0, 100.0)).high == 100
    assert scale_of([0.0], limits=(0.0, 100.0)).low == 0
    assert scale_of([3.0]).low < 3 < scale_of([3.0]).high


def test_a_position_is_a_share_of_the_axis():
    assert [position(value, scale_of([0.0, 4.0]), 1000) for value in (0.0, 1.0, 4.0)] == [0, 250, 1000]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.8823, "1.882"), (100.0, "100"), (99.375, "99.38"), (-2.4317, "−2.432"), (0.0005, "0.0005"),
        (4.917e-8, "4.9e-8"), (12345.6, "12346"), (2e6, "2e6"), (0.5, "0.5"),
    ],
)  # fmt: skip
def test_numbers_have_at_most_four_digits(value: float, text: str):
    assert short_number(value) == text


def test_ticks_of_an_axis_have_equal_decimals():
    assert short_number(4.0, 1) == "4.0"
    assert [decimals_of(value) for value in (4.0, 3.5, 0.25, 1e-9)] == [0, 1, 2, 0]
