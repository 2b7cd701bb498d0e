"""Skips files that hung or killed a process, in an earlier attempt of the run or in another process."""

from pathlib import Path

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.manifest.bad_files import lasting_failures


class SkipList:
    """Passes the files to skip to the data set of this process, which shares them with its workers.

    Each process reads other files in each epoch: without this, a file that hangs would cost each of them a time-out.
    Within an epoch only one process reads a file, so it is enough to read the list after each epoch.
    """

    def __init__(self, bad_files: Path, dataset: ClipDataset, sampler: StepSampler) -> None:
        """Stores the list that all processes write.

        Args:
            bad_files: bad_files.csv of the run.
            dataset: Data set of this process.
            sampler: Sampler, which gives the epoch of a step.
        """
        self._bad_files, self._dataset, self._sampler = bad_files, dataset, sampler
        self._known: set[str] = set()

    def update(self) -> None:
        """Reads the list and skips new files in it."""
        failed = lasting_failures(self._bad_files)
        new = {path: self._sampler.epoch_of(step) for path, step in failed.items() if path not in self._known}
        self._dataset.skip(new)
        self._known |= new.keys()

    def after_step(self, step: int) -> None:
        """Called after each step with the number of steps done."""
        if step % self._sampler.steps_per_epoch == 0:
            self.update()
