"""The generated data as a source of a run: written on first use, then read like any list."""

from pathlib import Path

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE
from stica_pv.data.synthetic.write import write_dataset


def add_synthetic_config(cfg: CfgNode) -> None:
    """Declares SYNTHETIC."""
    synthetic = section(cfg, "SYNTHETIC")
    synthetic.GENERATE = False  # write the data set into DATA.PATH_TO_DATA_DIR first
    synthetic.TRAIN_CLIPS = 512
    synthetic.TEST_CLIPS = 160
    synthetic.SEED = 0


def generate_from_config(cfg: CfgNode) -> bool:
    """Writes the data set that the keys describe, unless it is there; returns whether files were written."""
    node = cfg.SYNTHETIC
    return write_dataset(
        Path(cfg.DATA.PATH_TO_DATA_DIR),
        clips={cfg.TRAIN.SPLIT: node.TRAIN_CLIPS, cfg.TEST.SPLIT: node.TEST_CLIPS},
        seed=node.SEED,
    )


SYNTHETIC_LIMITS = {
    "SYNTHETIC.TRAIN_CLIPS": AT_LEAST_ONE,
    "SYNTHETIC.TEST_CLIPS": AT_LEAST_ONE,
    "SYNTHETIC.SEED": NOT_NEGATIVE,
}
