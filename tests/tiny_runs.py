"""Settings of runs that take a second: a trunk of width 4 on 4 frames of 32 x 32."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.engine import load_latest
from stica_pv.evaluation.results import Numbers
from stica_pv.workflows.run import run

REPOSITORY = Path(__file__).resolve().parents[1]

TINY: dict[str, dict[str, Any]] = {
    "MODEL": {"ARCH": "r2plus1d_10", "WIDTH": 4},
    "AUDIO": {"WIDTH": 4, "NUM_MEL_BINS": 16, "SAMPLE_RATE": 8000, "N_FFT": 512},
    "HEAD": {"DIM": 8, "HIDDEN_DIM": 16},
    "DATA": {"NUM_FRAMES": 4, "TARGET_FPS": 8.0, "TRAIN_CROP_SIZE": 32, "TEST_CROP_SIZE": 32},
    "TRAIN": {"BATCH_SIZE": 4},
    "TEST": {"NUM_ENSEMBLE_VIEWS": 2, "KNN_K": 3},
    "SOLVER": {"MAX_EPOCH": 2, "WARMUP_EPOCHS": 1.0, "BASE_LR": 0.05},
    "DATA_LOADER": {"NUM_WORKERS": 0},
}
TOP = {"NUM_GPUS": 0, "LOG_PERIOD": 1}


def arguments(clips: Path | None = None, output: Path | None = None, **overrides: Any) -> list[str]:
    """Returns overrides as typed; a dot is written as two underscores."""
    given = {} if clips is None else {"DATA.PATH_TO_DATA_DIR": clips}
    given |= {} if output is None else {"OUTPUT_DIR": output}
    given |= {key.replace("__", "."): value for key, value in overrides.items()}
    return [str(argument) for pair in given.items() for argument in pair]


def write_tiny(path: Path) -> Path:
    """Writes the settings as a YAML file."""
    path.write_text(yaml.safe_dump({**TINY, **TOP}))
    return path


def tiny_cfg(clips: Path, output: Path, **overrides: Any) -> CfgNode:
    """Returns the settings as a frozen configuration."""
    cfg = get_cfg()
    sections = {f"{section}.{key}": value for section, keys in TINY.items() for key, value in keys.items()}
    apply_overrides(cfg, [str(argument) for pair in {**sections, **TOP}.items() for argument in pair])
    apply_overrides(cfg, arguments(clips, output, **overrides))
    cfg.freeze()
    return cfg


def run_tiny(clips: Path, output: Path, **overrides: Any) -> Numbers:
    """Runs the settings in this process, without touching the logging."""
    return run(tiny_cfg(clips, output, **overrides), torch.device("cpu"))


def metrics_text(output: Path) -> str:
    """Returns what a repeated run must give again, bit for bit."""
    return (output / "metrics.jsonl").read_text()


def metric(output: Path, name: str) -> list[float]:
    """Returns a number of every logged step."""
    return [json.loads(line)[name] for line in metrics_text(output).splitlines()]


def losses(output: Path) -> list[float]:
    """Returns the loss of every logged step."""
    return metric(output, "loss")


def weights(output: Path) -> dict[str, torch.Tensor]:
    """Returns the weights of the newest checkpoint."""
    checkpoint = load_latest(output)
    assert checkpoint is not None
    return checkpoint["model"]


def assert_same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Fails unless all tensors are equal, bit for bit."""
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def tree(folder: Path) -> dict[str, bytes]:
    """Returns the content of every file below a folder, by name; empty without the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
