"""Inspection of a training batch, as a page and as an image."""

from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.data.synthetic import generate_from_config
from stica_pv.engine import load_checkpoint, load_weights
from stica_pv.engine.build_task import as_trained, create_task
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.engine.config import check_batch
from stica_pv.report.batch_page import sections_of
from stica_pv.report.contact_sheet import write_contact_sheet
from stica_pv.report.inspected_step import InspectedStep, inspect_step
from stica_pv.report.page import write_page


def inspect_batch(cfg: CfgNode, folder: Path, *, step: int, clips: int, checkpoint: str | None = None) -> list[Path]:
    """Write batch.html and batch.png.

    Args:
        cfg: The configuration of a training.
        folder: Output folder.
        step: Training step, from 0.
        clips: Number of clips to show.
        checkpoint: File of networks whose attention and similarities are shown.

    Returns:
        Paths of the files.

    Raises:
        UsageError: The configuration, its data or the checkpoint cannot be used.
    """
    check_batch(cfg)
    if cfg.SYNTHETIC.GENERATE:
        generate_from_config(cfg)
    found = None if checkpoint is None else load_checkpoint(checkpoint)
    inspected = inspect_checkpoint_step(
        cfg, Path(cfg.OUTPUT_DIR), step=step, clips=clips, checkpoint=found, source=str(checkpoint)
    )
    title = f"Batch of step {step}"
    clip_count = f"{len(inspected)} of its {inspected.batch_size} clips"
    subtitle = f"{clip_count}; task {cfg.TASK}, epoch {inspected.epoch}, seed {inspected.seed}"
    page = write_page(folder / "batch.html", title, sections_of(inspected), subtitle=subtitle)
    return [page, write_contact_sheet(inspected, folder / "batch.png", f"{title}: {subtitle}")]


def inspect_checkpoint_step(
    cfg: CfgNode, folder: Path, *, step: int, clips: int, checkpoint: Checkpoint | None, source: str = ""
) -> InspectedStep:
    """Build the clips of a step; with a checkpoint also attention and similarities of its networks."""
    if checkpoint is None:
        return inspect_step(cfg, create_task(cfg), folder, step=step, clips=clips)
    own = as_trained(cfg, checkpoint)
    task = create_task(own)
    load_weights(task, checkpoint["model"], min_share=1.0, source=f"checkpoint {source}")
    return inspect_step(own, task, folder, step=step, clips=clips, run_networks=True)
