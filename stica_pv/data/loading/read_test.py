"""Reads a few samples of a list as in training: time per sample, files that fail, and silent audio."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.progress import Progress
from stica_pv.structures import ReadFailure, SampleKey

SILENT_RMS = 1e-3  # of full scale: 60 dB below


@dataclass(frozen=True)
class ReadTest:
    """Result of reading a few samples.

    Attributes:
        samples: Number of samples.
        seconds: Mean time per sample in one process.
        failures: Files that failed in reading.
        audio_tracks: Number of audio tracks that were read.
        silent: Number of these that stay 60 dB below full scale.
    """

    samples: int
    seconds: float
    failures: tuple[ReadFailure, ...]
    audio_tracks: int
    silent: int

    def clips_per_second(self) -> float:
        """Return the speed of one process; 0 if nothing could be read."""
        return 1 / self.seconds if self.seconds else 0.0


def read_some(dataset: ClipDataset, count: int, clock: Callable[[], float] = time.perf_counter) -> ReadTest:
    """Read at most `count` samples of epoch 0, evenly spread over the list, after one warm-up sample.

    Args:
        dataset: Data set with `replace_failures` False.
        count: Number of samples.
        clock: Returns the time in seconds.
    """
    count = min(count, len(dataset))
    failures, seconds, waveforms = [], 0.0, list[Tensor]()
    if count:
        dataset[SampleKey(0, 0)]
    with Progress("sample reading", count, unit="samples") as progress:
        for number in range(count):
            begin = clock()
            sample = dataset[SampleKey(0, number * len(dataset) // count)]
            if isinstance(sample, ReadFailure):
                failures.append(sample)
            else:
                seconds += clock() - begin
                waveforms += [audio for name, audio in sample.audio.items() if sample.audio_valid[name] > 0]
            progress.add()
    good = count - len(failures)
    silent = sum(float(audio.square().mean().sqrt()) < SILENT_RMS for audio in waveforms)
    return ReadTest(count, seconds / good if good else 0.0, tuple(failures), len(waveforms), silent)
