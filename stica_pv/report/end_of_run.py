"""The report that a run writes at its end, with a gallery of test clips if it evaluates."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from stica_pv.config import CfgNode
from stica_pv.distributed import is_main
from stica_pv.errors import UsageError
from stica_pv.report.contents import NAME, write_report
from stica_pv.report.gallery import REPORT_QUERIES, Gallery
from stica_pv.report.gallery_page import create_gallery
from stica_pv.report.page import Section, missing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WriteReport:
    """`report_run` for a given page; called on every process of a run.

    Attributes:
        path: Output page.
    """

    path: Path

    def __call__(self, cfg: CfgNode, device: torch.device) -> Path | None:
        """Write the report, and return its path on the main process."""
        return report_run(cfg, device, self.path)


def report_run(cfg: CfgNode, device: torch.device, path: Path | None = None) -> Path | None:
    """Write the report of a run after training and evaluation; called on every process of the run.

    Args:
        cfg: Configuration of the run. With TEST.ENABLE the report includes test clips.
        device: Device to extract missing features on.
        path: Output page; None: report.html in OUTPUT_DIR.

    Returns:
        Path of the page on the main process, None on the others.

    Raises:
        UsageError: The page cannot be written.
    """
    folder = Path(cfg.OUTPUT_DIR)
    if is_main():
        logger.info("writing the report")
    try:
        gallery = create_gallery(cfg, device, queries=REPORT_QUERIES) if cfg.TEST.ENABLE else Gallery()
    except UsageError as error:  # no checkpoint, no data, or a missing extra; the same on all processes
        gallery = Gallery([Section("Nearest neighbors", missing([str(error)]))])
    return write_report([folder], path or folder / NAME, gallery) if is_main() else None
