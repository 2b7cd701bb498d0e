"""Curves in Weights & Biases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stica_pv.engine.trackers.tracker import known_run, remember_run
from stica_pv.errors import UsageError


class Wandb:
    """A run of Weights & Biases; a resumed run goes on in it."""

    takes_back = False

    def __init__(self, folder: Path, *, project: str, mode: str, config: Mapping[str, Any]) -> None:
        """Begins the run, or finds it again.

        Args:
            folder: Of the run; W&B keeps its own files in ``wandb`` below it.
            project: Where the run is listed.
            mode: ``online``, or ``offline``: kept in the folder until ``wandb sync``.
            config: Shown beside the curves.

        Raises:
            UsageError: W&B cannot begin: there is no account on this machine, or no way to it.
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
            told = " ".join(str(error).split())
            raise UsageError(
                f"WANDB.ENABLE: W&B cannot begin ({told}): run `wandb login`, or set WANDB.MODE offline"
            ) from error
        if not before:
            remember_run(folder, "wandb", self._run.id)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Takes numbers by name; what is told of one step in several calls stands in one row."""
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Sends what is left."""
        self._run.finish()
