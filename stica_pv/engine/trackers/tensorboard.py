"""Curves in TensorBoard."""

from collections.abc import Mapping
from pathlib import Path


class TensorBoard:
    """Writes event files; points after the step of a resume are hidden."""

    takes_back = True

    def __init__(self, folder: Path, *, resume_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=resume_step + 1)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers by name."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the files."""
        self._writer.close()
