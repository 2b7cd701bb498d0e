"""Folders of runs as the package itself writes them, without any training."""

from pathlib import Path
from typing import Any

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.data.manifest.bad_files import BadFiles
from stica_pv.defaults import get_cfg
from stica_pv.engine.records import Records
from stica_pv.engine.run_folder import claim, write_run_info
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.results import Results
from stica_pv.structures import ReadFailure

ODD = "<img src=x onerror=alert(1)> & \"q\" 'é' 日本 {{ 7 * 7 }} $x$ " + "long" * 60
SCORES = {"trained": 62.5, "random_init": 30.0, "color thumbnail 4x4": 25.0}


def made_cfg(folder: Path, **overrides: Any) -> CfgNode:
    """Returns a configuration; a dot of a key is written as two underscores."""
    cfg = get_cfg()
    given = {"OUTPUT_DIR": folder, "TEST.ENABLE": True}
    given |= {key.replace("__", "."): value for key, value in overrides.items()}
    apply_overrides(cfg, [str(argument) for pair in given.items() for argument in pair])
    return cfg


def made_run(folder: Path, *, steps: int = 6, wanted: int = 6, evaluated: bool = True, **overrides: Any) -> Path:
    """Writes what a run leaves that was killed after `steps` of `wanted`, or went to its end; every other is logged."""
    claim(made_cfg(folder, **overrides))
    write_run_info(
        folder, {"videos": 32, "videos_excluded": 1, "steps": wanted, "parameters": 1234567, "peak_lr": 0.001}
    )
    records = Records(folder, resume_step=0)
    for step in range(2, steps + 1, 2):
        numbers = {"epoch": step / 2, "lr": 1e-3 / step, "loss": 4.0 / step, "spread_video": 0.5}
        records.write(
            step,
            numbers,
            {"step_time": 0.5, "data_share": 0.02, "samples_per_second": 16.0 + step, "memory_mb": 2048.0},
        )
    if steps:
        records.write_epoch(steps, steps // 2, {"online_knn/top1": 40.0})
    records.close()
    bad_files = BadFiles(folder / "bad_files.csv", 32, 0.5)
    bad_files.begin([ReadFailure(f"clips/{ODD}.mp4", "has no audio")])
    bad_files.report(3, [ReadFailure("clips/\udcff.mp4", "hung: 60 s")])
    if evaluated:
        made_results(SCORES).write(folder)
    return folder


def made_results(scores: dict[str, float]) -> Results:
    """Returns results of one protocol."""
    rows = [
        Row(
            "retrieval",
            "retrieval (x|y)",
            metric,
            name,
            "raw",
            "csv",
            "ab12",
            "test",
            score,
            score - 5,
            score + 5,
            *rest,
        )
        for metric in ("R@1", "mAP")
        for (name, score), rest in zip(scores.items(), [(160, 40, "1 x 1")] * len(scores), strict=True)
    ]
    return Results(rows, ["trained"], 12.5)
