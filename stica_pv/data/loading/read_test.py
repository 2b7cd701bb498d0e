"""Reads a few samples of a list as a training would: what one costs, which files fail, how much audio is silent."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.structures import ReadFailure, SampleKey

SILENT_RMS = 1e-3  # of full scale: 60 dB below


@dataclass(frozen=True)
class Trial:
    """What came of the samples.

    Attributes:
        samples: How many were read.
        seconds: For one of them, the mean, by one process.
        failures: Files that failed in reading.
        heard: Audio tracks that were read.
        silent: How many of these stay 60 dB below full scale.
    """

    samples: int
    seconds: float
    failures: tuple[ReadFailure, ...]
    heard: int
    silent: int

    def clips_per_second(self) -> float:
        """What one process reads; 0 if nothing could be read."""
        return 1 / self.seconds if self.seconds else 0.0


def read_some(dataset: ClipDataset, count: int, clock: Callable[[], float] = time.perf_counter) -> Trial:
    """Reads `count` samples of epoch 0, or all there are, evenly spread over the list; one before them for warmth.

    Args:
        dataset: With `replace_failures` False.
        count: How many.
        clock: Tells seconds.
    """
    count = min(count, len(dataset))
    failures, seconds, audios = [], 0.0, list[Tensor]()
    if count:
        dataset[SampleKey(0, 0)]
    for number in range(count):
        begin = clock()
        sample = dataset[SampleKey(0, number * len(dataset) // count)]
        if isinstance(sample, ReadFailure):
            failures.append(sample)
            continue
        seconds += clock() - begin
        audios += [audio for name, audio in sample.audio.items() if sample.audio_valid[name] > 0]
    good = count - len(failures)
    silent = sum(float(audio.square().mean().sqrt()) < SILENT_RMS for audio in audios)
    return Trial(count, seconds / good if good else 0.0, tuple(failures), len(audios), silent)
