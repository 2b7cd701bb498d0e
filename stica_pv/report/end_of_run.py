"""The report that a run writes at its end, with what its networks make of clips if it evaluates."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from stica_pv.config import CfgNode
from stica_pv.distributed import is_main
from stica_pv.errors import UsageError
from stica_pv.report.contents import NAME, write_report
from stica_pv.report.page import Section, missing
from stica_pv.report.showcase import showcase_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportJob:
    """`report_run` as a job; called on every process of it.

    Attributes:
        path: The page.
    """

    path: Path

    def __call__(self, cfg: CfgNode, device: torch.device) -> Path | None:
        """Returns the page, on the main process."""
        return report_run(cfg, device, self.path)


def report_run(cfg: CfgNode, device: torch.device, path: Path | None = None) -> Path | None:
    """Writes the report of a run whose training and evaluation are done; called on every process of the run.

    Args:
        cfg: Its configuration. With TEST.ENABLE the test clips are looked at too.
        device: Where features are made that OUTPUT_DIR lacks.
        path: The page; None: report.html in OUTPUT_DIR.

    Returns:
        The page, on the main process.

    Raises:
        UsageError: The page cannot be written.
    """
    folder = Path(cfg.OUTPUT_DIR)
    if is_main():
        logger.info("making the report")
    try:
        showcase = showcase_of(cfg, device) if cfg.TEST.ENABLE else []
    except UsageError as error:  # nothing is trained, no data are there, or an extra is missing: on all processes alike
        showcase = [Section("Who is nearest", missing([str(error)]))]
    return write_report([folder], path or folder / NAME, showcase) if is_main() else None
