"""Resuming: all processes load one checkpoint and continue at the same step of the same run."""

import logging
from pathlib import Path

from stica_pv.distributed import check_agreement, fail_together, from_main, is_main, rank
from stica_pv.engine.checkpoint import FOLDER, Checkpoint, find_latest, list_checkpoints, load_checkpoint
from stica_pv.errors import UsageError

logger = logging.getLogger(__name__)


def find_checkpoint(folder: Path, *, resume: bool, list_hash: str) -> Checkpoint | None:
    """Loads the newest intact checkpoint of a run: the main process chooses the file, the others read the same one.

    Args:
        folder: Folder of the run.
        resume: Whether to continue from a checkpoint.
        list_hash: Hash of the video list of this process.

    Raises:
        UsageError: There are checkpoints and `resume` is False, none is intact, a process cannot read the chosen
            one, or it is of another list. Every process raises it, and none waits for the others.
    """
    problem, name, checkpoint = "", "", None
    if is_main():
        try:
            name, checkpoint = _choose(folder, resume)
        except UsageError as error:
            problem = str(error)
    name = from_main(name)
    if name and not is_main():
        try:
            checkpoint = load_checkpoint(folder / FOLDER / name)
            logger.info("resuming from %s (step %d)", folder / FOLDER / name, checkpoint["step"])
        except UsageError as error:
            problem = (
                f"process {rank()} cannot resume as process 0 does: {error}; "
                "OUTPUT_DIR must be one folder that all machines share"
            )
    if checkpoint and checkpoint["list_hash"] != list_hash:
        problem = (
            f"OUTPUT_DIR {folder} holds a run on another list of videos (hash {checkpoint['list_hash']}, "
            f"now {list_hash}): restore the data, or choose another OUTPUT_DIR"
        )
    fail_together(problem)
    return checkpoint


def _choose(folder: Path, resume: bool) -> tuple[str, Checkpoint | None]:
    """Returns file name and checkpoint; "" and None to start over."""
    if resume:
        found = find_latest(folder)
        return ("", None) if found is None else (found[0].name, found[1])
    if list_checkpoints(folder):
        raise UsageError(
            f"OUTPUT_DIR {folder} holds checkpoints and TRAIN.AUTO_RESUME is False: "
            "choose another OUTPUT_DIR, or set it to True to continue"
        )
    return "", None


def check_same_position(*, step: int, end: int, list_hash: str) -> None:
    """Compares what the processes are about to train: their gradients would be averaged in any case.

    Args:
        step: Number of steps done.
        end: Last step of the run.
        list_hash: Hash of the video list.

    Raises:
        UsageError: A process differs from the main one. Every process raises it, and none waits for the others.
    """
    check_agreement(
        f"is at step {step} of {end} on the list {list_hash}",
        advice="use the same configuration, data and shared OUTPUT_DIR on every machine",
    )
