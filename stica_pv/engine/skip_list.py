"""Keeps the loader from files that hung or killed a process: in an earlier life of the run, or in another process."""

from pathlib import Path

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.manifest.bad_files import lasting_failures


class SkipList:
    """Tells the data set of this process, whose workers share what it knows, which files are better not tried.

    Each process sees other files in each epoch: without this a file that hangs would cost each of them its time-out.
    Within an epoch a file is shown to one alone, so that it is enough to look at the list at the end of each.
    """

    def __init__(self, bad_files: Path, dataset: ClipDataset, sampler: StepSampler) -> None:
        """Takes the list that all processes write.

        Args:
            bad_files: bad_files.csv of the run.
            dataset: Of this process.
            sampler: Tells the epoch of a step.
        """
        self._bad_files, self._dataset, self._sampler = bad_files, dataset, sampler
        self._known: set[str] = set()

    def update(self) -> None:
        """Reads the list."""
        failed = lasting_failures(self._bad_files)
        new = {path: self._sampler.epoch_of(step) for path, step in failed.items() if path not in self._known}
        self._dataset.skip(new)
        self._known |= new.keys()

    def after_step(self, step: int) -> None:
        """Is told that `step` steps of the run are done."""
        if step % self._sampler.steps_per_epoch == 0:
            self.update()
