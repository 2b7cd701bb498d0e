from itertools import count
from typing import Any

import pytest
import torch

from stica_pv.data.loading.collate import Sample
from stica_pv.data.loading.read_test import read_some
from stica_pv.structures import ReadFailure, SampleKey


class Listed:
    """Ten files: the fourth cannot be read, the first two are silent, the last one's audio is not real."""

    def __init__(self, size: int = 10) -> None:
        self.size, self.read = size, list[int]()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: SampleKey) -> Sample | ReadFailure:
        self.read.append(key.index)
        if key.index == 3:
            return ReadFailure("3.mp4", "no frame")
        audio = torch.full((8,), 0.0009 if key.index < 2 else -0.0011)
        return Sample({}, {"view": audio}, {"view": float(key.index < 9)}, key.index, None, ())


def test_samples_are_spread_over_the_list_and_failures_cost_nothing():
    listed: Any = Listed()
    ticks = count()
    found = read_some(listed, 10, clock=lambda: float(next(ticks)) / 2)
    assert listed.read == [0, *range(10)]  # one for warmth
    assert (found.samples, found.failures) == (10, (ReadFailure("3.mp4", "no frame"),))
    assert found.seconds == pytest.approx(0.5)
    assert found.clips_per_second() == pytest.approx(2.0)
    assert (found.audio_tracks, found.silent) == (8, 2)
    few: Any = Listed(100)
    assert read_some(few, 4).samples == 4
    assert few.read == [0, 0, 25, 50, 75]


def test_an_empty_list_has_no_speed():
    nothing: Any = Listed(0)
    assert read_some(nothing, 4).clips_per_second() == 0.0
