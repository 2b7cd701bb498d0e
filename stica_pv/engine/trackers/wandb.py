"""Curves in Weights & Biases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stica_pv.engine.trackers.tracker import known_run, remember_run
from stica_pv.errors import UsageError


class Wandb:
    """A run of Weights & Biases; a resumed run continues it."""

    takes_back = False

    def __init__(self, folder: Path, *, project: str, mode: str, config: Mapping[str, Any]) -> None:
        """Starts the run, or continues it.

        Args:
            folder: Folder of the run; W&B keeps its files in ``wandb`` below it.
            project: Project of the run.
            mode: ``online``, or ``offline``: kept in the folder until ``wandb sync``.
            config: Configuration of the run.

        Raises:
            UsageError: W&B cannot start: there is no login on this machine, or no connection.
        """
        import wandb

        before = known_run(folder, "wandb")
        try:
            self._run = wandb.init(
                project=project,
                name=folder.name,
                id=before or None,
                resume="allow",
                dir=str(folder),
                mode=mode,
                config=dict(config),
            )
        except wandb.errors.Error as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"WANDB.ENABLE: W&B cannot start ({reason}): run `wandb login`, or set WANDB.MODE offline"
            ) from error
        if not before:
            remember_run(folder, "wandb", self._run.id)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers by name; several calls for one step share a row."""
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Sends the remaining numbers."""
        self._run.finish()
