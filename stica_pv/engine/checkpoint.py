"""Checkpoints: one self-describing file, written atomically, of plain types only."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.errors import RunFailed, UsageError
from stica_pv.partial_file import partial_file
from stica_pv.weights.files import is_write_error, load_plain, system_message

logger = logging.getLogger(__name__)

_FORMATS, _NUMBER = "stica_pv checkpoint ", 1
FORMAT = f"{_FORMATS}{_NUMBER}"
# Content of every file of this format.
CONTENT: dict[str, type] = {
    "config": str,
    "step": int,
    "epoch_size": int,
    "list_hash": str,
    "model": dict,
    "optimizer": dict,
    "scaler": dict,
    "meter": dict,
}
FOLDER = "checkpoints"
_NAME = re.compile(r"step_(\d{8})\.pyth")

Checkpoint = dict[str, Any]


class NewerFormat(UsageError):  # noqa: N818 - it names the state of a file
    """A checkpoint of a later version of this package; it is valid and must not be overwritten."""


def checkpoint_path(output_dir: Path, step: int) -> Path:
    """Returns the path of the checkpoint after `step` steps."""
    return output_dir / FOLDER / f"step_{step:08d}.pyth"


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Returns the complete checkpoints of a run, oldest first; unfinished ones have another name."""
    folder = output_dir / FOLDER
    return sorted(path for path in folder.glob("step_*.pyth") if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def step_of(path: Path) -> int:
    """Returns the number of steps done from a path of `checkpoint_path`."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ValueError(f"{path} is not the name of a checkpoint")
    return int(found.group(1))


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, keep: int, keep_every: int = 0) -> None:
    """Writes a checkpoint so that a kill at any moment leaves the old files intact, then deletes older ones.

    Files of later steps stay and do not count as newest: a run that resumed before them found them broken.

    Args:
        path: Path from `checkpoint_path`.
        checkpoint: Plain types and tensors.
        keep: Number of newest files to keep, including this one.
        keep_every: Files whose step is a multiple of this are kept for good; 0 for none.

    Raises:
        RunFailed: The disk is full or the folder cannot be written; older checkpoints are untouched.
    """
    try:
        for left in path.parent.glob("step_*.partial"):  # by an attempt that was killed while writing
            left.unlink()
        with partial_file(path) as partial, partial.open("wb") as file:
            torch.save({"format": FORMAT, **checkpoint}, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        if not is_write_error(error):
            raise
        raise RunFailed(f"cannot write {path}: {system_message(error)}; older checkpoints are untouched") from error
    so_far = [found for found in list_checkpoints(path.parent.parent) if step_of(found) <= step_of(path)]
    for old in so_far[:-keep]:
        if not keep_every or step_of(old) % keep_every:
            old.unlink()


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint to the CPU, without running code from the file.

    Raises:
        NewerFormat: A later version of this package wrote it.
        UsageError: The file is missing, damaged, or not a checkpoint of this package.
    """
    if Path(path).is_dir():
        raise UsageError(f"checkpoint {path}: expected a file, got a folder; name one of its checkpoints/step_*.pyth")
    if not Path(path).is_file():
        raise UsageError(f"checkpoint {path}: there is no such file")
    checkpoint = load_plain(str(path))
    check_format(checkpoint, source=f"checkpoint {path}")
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT:
        raise UsageError(f"checkpoint {path} is not of the format {FORMAT!r}: it was not written by this package")
    check_content(checkpoint, source=f"checkpoint {path}")
    return checkpoint


def check_format(content: object, *, source: str) -> None:
    """Raises `NewerFormat` if a later version of this package wrote the file."""
    written = str(content.get("format", "")) if isinstance(content, Mapping) else ""
    number = written.removeprefix(_FORMATS)
    if written.startswith(_FORMATS) and number.isdecimal() and int(number) > _NUMBER:
        raise NewerFormat(
            f"{source} is of the format {written!r}, and this version of stica_pv reads {FORMAT!r}: update stica_pv, "
            "or move the file away"
        )


def check_content(checkpoint: Mapping[str, Any], *, source: str) -> None:
    """Checks that a checkpoint has the content of its format.

    Raises:
        UsageError: Something is missing or of another type; the message names it.
    """
    for name, kind in CONTENT.items():
        value = checkpoint.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            got = type(value).__name__ if name in checkpoint else "nothing"
            raise UsageError(f"{source} is malformed: {name} should be of type {kind.__name__}, and is {got}")
    check_tensors(checkpoint["model"], source=source)


def check_tensors(model: Mapping[Any, Any], *, source: str) -> None:
    """Checks that weights are plain tensors by name.

    Raises:
        UsageError: One is not; the message names it.
    """
    for name, value in model.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UsageError(
                f"{source} is malformed: its weights should be tensors by name, and {name!r} is {type(value).__name__}"
            )


def load_latest(output_dir: Path, *, purpose: str = "resuming from") -> Checkpoint | None:
    """Reads the newest intact checkpoint of a run, see `find_latest`."""
    found = find_latest(output_dir, purpose=purpose)
    return None if found is None else found[1]


def find_latest(output_dir: Path, *, purpose: str = "resuming from") -> tuple[Path, Checkpoint] | None:
    """Reads the newest intact checkpoint of a run; logs and skips broken newer ones.

    Args:
        output_dir: The folder of the run.
        purpose: Start of the log line, before the file name.

    Returns:
        Path and checkpoint; None without checkpoints.

    Raises:
        NewerFormat: A later version of this package wrote the newest intact one: continuing would overwrite it.
        UsageError: There are checkpoints, and none is intact: starting over must be the user's decision.
    """
    paths = list_checkpoints(output_dir)
    for path in reversed(paths):
        try:
            checkpoint = load_checkpoint(path)
        except NewerFormat:
            raise
        except UsageError as error:
            logger.warning("skipped: %s", error)
            continue
        logger.info("%s %s (step %d)", purpose, path, checkpoint["step"])
        return path, checkpoint
    if paths:
        raise UsageError(f"all {len(paths)} checkpoints in {paths[0].parent} are broken: move them away to begin anew")
    return None


def load_weights(module: nn.Module, state: dict[str, torch.Tensor], *, min_share: float, source: str) -> None:
    """Loads the weights whose name and shape match, and logs the others.

    Args:
        module: Module to load into.
        state: Weights by name.
        min_share: Smallest share of the module's tensors that must match.
        source: Source of the weights, for messages.

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
    try:
        module.load_state_dict(matched, strict=False)
    except RuntimeError as error:  # tensors that cannot be copied, such as sparse ones
        raise UsageError(f"{source}: its weights do not fit: {' '.join(str(error).split())[:300]}") from error
    logger.info("%s: %d of %d tensors loaded", source, len(matched), len(own))
