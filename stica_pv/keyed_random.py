"""Randomness by key: every random number comes from a generator named by its purpose, never from carried state.

So a run can be stopped, resumed, and split over any number of workers and processes without changing a single random
number: the key of a sample is (seed, epoch, index, ...), that of a step (seed, step, ...).
"""

import hashlib

import torch

Key = int | str


def seed_of(*key: Key) -> int:
    """Returns a 63-bit seed for a key of integers and strings; equal keys give equal seeds on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*key: Key) -> torch.Generator:
    """Returns a CPU generator for a key, e.g. ``generator("window", seed, epoch, index)``."""
    return torch.Generator().manual_seed(seed_of(*key))


def uniform(low: float, high: float, rng: torch.Generator) -> float:
    """Samples a float from U(low, high) in double precision."""
    return low + (high - low) * float(torch.rand((), generator=rng, dtype=torch.float64))


def chance(probability: float, rng: torch.Generator) -> bool:
    """Samples True with the given probability, 0 to 1."""
    return float(torch.rand((), generator=rng, dtype=torch.float64)) < probability


def integer(low: int, high: int, rng: torch.Generator) -> int:
    """Samples an integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=rng))
