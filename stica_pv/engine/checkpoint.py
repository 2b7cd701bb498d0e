"""Checkpoints: one self-describing file, written atomically, of plain types only."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stica_pv.errors import UsageError
from stica_pv.weights.files import is_of_writing, told_by_system

logger = logging.getLogger(__name__)

FORMAT = "stica_pv checkpoint 1"
FOLDER = "checkpoints"
_NAME = re.compile(r"step_(\d{8})\.pyth")

Checkpoint = dict[str, Any]


def checkpoint_path(output_dir: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return output_dir / FOLDER / f"step_{step:08d}.pyth"


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first; unfinished writes carry another name."""
    folder = output_dir / FOLDER
    return sorted(path for path in folder.glob("step_*.pyth") if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def step_of(path: Path) -> int:
    """Number of steps done in a checkpoint of `checkpoint_path`."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ValueError(f"{path} is not named as a checkpoint")
    return int(found.group(1))


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, keep: int, keep_every: int = 0) -> None:
    """Writes a checkpoint so that a kill at any moment leaves the old files whole, then drops older ones.

    Files of later steps stay, and count as none of the newest: a run that stands before them has found them broken.

    Args:
        path: The file, from `checkpoint_path`.
        checkpoint: Plain types and tensors.
        keep: Number of newest files that stay, this one included.
        keep_every: Files whose step is a multiple of this stay for good; 0 for none.

    Raises:
        UsageError: The disk is full or the folder cannot be written; older checkpoints are untouched.
    """
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob("step_*.partial"):  # by a life that was killed while it wrote
            left.unlink()
        with partial.open("wb") as file:
            torch.save({"format": FORMAT, **checkpoint}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        if not is_of_writing(error):
            raise
        raise UsageError(f"cannot write {path}: {told_by_system(error)}; older checkpoints are untouched") from error
    so_far = [found for found in list_checkpoints(path.parent.parent) if step_of(found) <= step_of(path)]
    for old in so_far[:-keep]:
        if not keep_every or step_of(old) % keep_every:
            old.unlink()


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint to the CPU, without running code from the file.

    Raises:
        UsageError: The file is missing, broken, or no checkpoint of this package.
    """
    if not Path(path).is_file():
        raise UsageError(f"checkpoint {path}: there is no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever zip, pickle or the file system raise
        # Its messages speak of its own inside, and some advise to load without `weights_only`, which runs foreign code.
        raise UsageError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): it is cut off, or no file of this package"
        ) from error
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT:
        raise UsageError(f"checkpoint {path} is not of the format {FORMAT!r}: it was not written by this package")
    return checkpoint


def load_latest(output_dir: Path, *, purpose: str = "resuming from") -> Checkpoint | None:
    """Reads the newest checkpoint of a run that is whole, see `find_latest`."""
    found = find_latest(output_dir, purpose=purpose)
    return None if found is None else found[1]


def find_latest(output_dir: Path, *, purpose: str = "resuming from") -> tuple[Path, Checkpoint] | None:
    """Reads the newest checkpoint of a run that is whole; broken newer ones are named and skipped.

    Args:
        output_dir: The folder of the run.
        purpose: What the log says before the name of the file.

    Returns:
        The file and what it holds; None without checkpoints.

    Raises:
        UsageError: There are checkpoints, and none is whole: beginning anew must be the user's decision.
    """
    paths = list_checkpoints(output_dir)
    for path in reversed(paths):
        try:
            checkpoint = load_checkpoint(path)
        except UsageError as error:
            logger.warning("skipped: %s", error)
            continue
        logger.info("%s %s (step %d)", purpose, path, checkpoint["step"])
        return path, checkpoint
    if paths:
        raise UsageError(f"all {len(paths)} checkpoints in {paths[0].parent} are broken: move them away to begin anew")
    return None


def load_weights(module: nn.Module, state: dict[str, torch.Tensor], *, min_share: float, source: str) -> None:
    """Loads the weights whose name and shape match, and says what did not.

    Args:
        module: Takes the weights.
        state: Weights by name.
        min_share: Least share of the module's tensors that must match.
        source: Where they come from, for messages.

    Raises:
        UsageError: Fewer match.
    """
    own = module.state_dict()
    matched = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    missing = sorted(own.keys() - matched.keys())
    unexpected = sorted(state.keys() - matched.keys())
    share = len(matched) / max(1, len(own))
    report = (
        f"{source}: {len(matched)} of {len(own)} tensors match; missing {len(missing)} {missing[:3]}, "
        f"unexpected {len(unexpected)} {unexpected[:3]}"
    )
    if missing or unexpected:
        logger.info("%s", report)
        logger.info("missing: %s", ", ".join(missing) or "none")
        logger.info("unexpected (or of another shape): %s", ", ".join(unexpected) or "none")
    if share < min_share:
        raise UsageError(f"{report}; at least {min_share:.0%} must match (TRAIN.CHECKPOINT_MIN_MATCH)")
    module.load_state_dict(matched, strict=False)
    logger.info("%s: %d of %d tensors loaded", source, len(matched), len(own))
