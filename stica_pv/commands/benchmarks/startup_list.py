"""Opens FOLDER/train.csv with its manifest, forks two workers that read all of it, and prints the cost."""

import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from stica_pv.commands.benchmarks.process_memory import proportional_mb
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.videos import open_videos
from stica_pv.data.sources.sources import read_csv
from stica_pv.structures import Clip, ClipRequest, Views, Window

WORKERS = 2


def main(folder: Path) -> None:
    """Prints JSON: processor and wall seconds, MB of all processes."""
    empty = ClipDataset([], [], Views((), _no_windows, 1.0, True), reader=_no_reader, seed=0)
    before = memory_mb(empty)
    cpu, wall = time.process_time(), time.perf_counter()
    listed = read_csv(path=str(folder / "train.csv"))
    videos = open_videos(listed, manifest=folder / "manifest.csv", min_seconds=1.0, needs_audio=True)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    views = Views((), _no_windows, 1.0, True)
    dataset = ClipDataset(videos.paths, videos.durations_s, views, reader=_no_reader, seed=0, labels=videos.labels)
    print(json.dumps({"cpu_s": cpu, "wall_s": wall, "memory_mb": memory_mb(dataset) - before}))


def memory_mb(dataset: ClipDataset) -> float:
    """Returns the memory of this process and of workers that have read every entry; shared memory counts once."""
    gc.collect()
    gc.freeze()
    children, ready = [], []
    for _ in range(WORKERS):
        ends = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            for index, path in enumerate(dataset.paths):
                assert path
                assert dataset.durations_s[index] > 0
            os.write(ends[0][1], b"x")
            os.read(ends[1][0], 1)
            os._exit(0)
        os.read(ends[0][0], 1)
        children.append(child)
        ready.append(ends)
    total = proportional_mb((os.getpid(), *children))
    for ends, child in zip(ready, children, strict=True):
        os.write(ends[1][1], b"x")
        os.waitpid(child, 0)
        for descriptor in (*ends[0], *ends[1]):
            os.close(descriptor)
    return total


def _no_windows(seconds: float, rng: torch.Generator) -> dict[str, Window]:
    return {}


def _no_reader(path: str, requests: Mapping[str, ClipRequest]) -> dict[str, Clip]:
    return {}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
