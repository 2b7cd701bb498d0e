"""Randomness by key."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stica_pv.keyed_random import chance, generator, integer, seed_of, uniform

ROOT = Path(__file__).resolve().parents[1]


def sample(*key: int | str) -> list[float]:
    return torch.rand(4, generator=generator(*key)).tolist()


def test_equal_keys_draw_equal_numbers():
    assert sample("window", 0, 3, 7) == sample("window", 0, 3, 7)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("window", 0, 1, 2), ("window", 0, 2, 1)),
        (("window", 0, 1), ("crop", 0, 1)),
        ((1, 23), (12, 3)),
        ((1,), ("1",)),
        ((0,), (0, 0)),
    ],
)
def test_other_keys_draw_other_numbers(one: tuple[int | str, ...], other: tuple[int | str, ...]):
    assert sample(*one) != sample(*other)


def test_seed_is_the_same_in_another_process():
    code = "from stica_pv.keyed_random import seed_of; print(seed_of('window', 1, 2))"
    # Python's own hash() of a string would differ here.
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == seed_of("window", 1, 2)


def test_seed_never_changes_between_versions():
    assert seed_of("window", 0, 1, 2) == 1545347552680952971


def test_seeds_of_neighboring_keys_do_not_collide_and_fit_in_63_bits():
    seeds = [seed_of("sample", *key) for key in itertools.product(range(3), range(10), range(100))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**60


def test_first_draws_of_neighboring_keys_are_uniform_and_independent():
    first = torch.tensor([uniform(0, 1, generator("sample", i)) for i in range(2000)])
    assert abs(first.mean() - 0.5) < 4 * (1 / 12 / 2000) ** 0.5
    neighbors = torch.corrcoef(torch.stack([first[:-1], first[1:]]))[0, 1]
    assert abs(neighbors) < 4 / 2000**0.5


def test_uniform_stays_in_its_range_and_reaches_both_halves():
    rng = generator("test")
    draws = [uniform(-2.0, 6.0, rng) for _ in range(500)]
    assert -2.0 <= min(draws) < -1.5
    assert 5.5 < max(draws) < 6.0


def test_chance_of_zero_and_one_are_certain_and_a_third_is_a_third():
    rng = generator("test")
    assert not any(chance(0.0, rng) for _ in range(200))
    assert all(chance(1.0, rng) for _ in range(200))
    share = sum(chance(1 / 3, rng) for _ in range(3000)) / 3000
    assert abs(share - 1 / 3) < 4 * (2 / 9 / 3000) ** 0.5


def test_integer_reaches_both_ends_and_nothing_else():
    rng = generator("test")
    assert {integer(-1, 2, rng) for _ in range(200)} == {-1, 0, 1, 2}
    assert integer(5, 5, rng) == 5


def test_a_draw_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    uniform(0, 1, generator("test"))
    assert torch.equal(torch.get_rng_state(), before)  # exact: left alone, not calculated
