"""Writes what a batch of a configured training is, as a page and as an image."""

from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.data.synthetic import generate_from_config
from stica_pv.engine import load_checkpoint, load_weights
from stica_pv.engine.build_task import as_trained, create_task
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.engine.config import check_batch
from stica_pv.report.batch_page import sections_of
from stica_pv.report.charts import check_extra
from stica_pv.report.contact_sheet import write_contact_sheet
from stica_pv.report.page import write_page
from stica_pv.report.seen_step import InspectedStep, look_at_step


def inspect_batch(cfg: CfgNode, folder: Path, *, step: int, clips: int, checkpoint: str | None = None) -> list[Path]:
    """Writes batch.html and batch.png.

    Args:
        cfg: The configuration of a training.
        folder: Where to write.
        step: Number of the step, from 0.
        clips: How many of its clips to show.
        checkpoint: A file whose networks are asked too.

    Returns:
        The files.

    Raises:
        UsageError: The configuration, its data or the checkpoint cannot be used, or an extra is missing.
    """
    check_extra()
    check_batch(cfg)
    if cfg.SYNTHETIC.GENERATE:
        generate_from_config(cfg)
    found = None if checkpoint is None else load_checkpoint(checkpoint)
    seen = see_step(cfg, Path(cfg.OUTPUT_DIR), step=step, clips=clips, checkpoint=found, source=str(checkpoint))
    title = f"Batch of step {step}"
    subtitle = f"{len(seen)} of its {seen.batch_size} clips; task {cfg.TASK}, epoch {seen.epoch}, seed {seen.seed}"
    page = write_page(folder / "batch.html", title, sections_of(seen), subtitle=subtitle)
    return [page, write_contact_sheet(seen, folder / "batch.png", f"{title}: {subtitle}")]


def see_step(
    cfg: CfgNode, folder: Path, *, step: int, clips: int, checkpoint: Checkpoint | None, source: str = ""
) -> InspectedStep:
    """Makes the clips of a step, and asks the networks of a checkpoint if one is given."""
    if checkpoint is None:
        return look_at_step(cfg, create_task(cfg), folder, step=step, clips=clips)
    own = as_trained(cfg, checkpoint)
    task = create_task(own)
    load_weights(task, checkpoint["model"], min_share=1.0, source=f"checkpoint {source}")
    return look_at_step(own, task, folder, step=step, clips=clips, ask_networks=True)
