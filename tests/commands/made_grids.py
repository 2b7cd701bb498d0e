"""A grid of two cells, and what its runs leave."""

import json
from pathlib import Path

GRID = {
    "CELLS": {"plain": "base.yaml", "crops": "base.yaml CROP.NUM_LARGE_SPATIAL 2"},
    "CHOOSE": {"KEY": "SOLVER.BASE_LR", "VALUES": [0.1, 0.2], "MEASURE": "online_knn/top1", "WITH": "RNG_SEED 9"},
    "REPLICATES": ["RNG_SEED 0", "RNG_SEED 1", "RNG_SEED 2"],
    "MEASURES": ["knn/top1"],
    "CONTRASTS": {"crops above none": ["crops", "plain"]},
}
KNN = {("plain", "0.1"): 30.0, ("plain", "0.2"): 40.0, ("crops", "0.1"): 70.0, ("crops", "0.2"): 60.0}
TOP1 = {"plain": [50.0, 52.0, 51.0], "crops": [60.0, 63.0, 59.0]}


def leave_results(command: list[str]) -> None:
    """Writes what a finished run of a command line of `stica-pv train` leaves."""
    arguments = dict(zip(command[7::2], command[8::2], strict=True))
    cell = "crops" if arguments.get("CROP.NUM_LARGE_SPATIAL") == "2" else "plain"
    folder, seed = Path(arguments["OUTPUT_DIR"]), int(arguments["RNG_SEED"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text('{"steps": 4}')
    if seed == 9:
        knn = KNN[cell, arguments["SOLVER.BASE_LR"]]
        lines = [
            {"step": 2, "epoch_end": 1, "online_knn/top1": 99.0},
            {"step": 4, "epoch_end": 2, "online_knn/top1": knn},
        ]
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    else:
        top1 = TOP1[cell][seed]
        others = {"knn/top1/low": 1.0, "knn/top1/high": 99.0, "knn/top1/n": 8.0, "knn/top1/fold1": 3.0}
        untrained = {"knn/top1/random_init": 20.0 + seed, "knn/top1/random_init/low": 2.0, "knn/top1/colors": 21.0}
        (folder / "results.json").write_text(json.dumps({"knn/top1": top1, **others, **untrained}))
