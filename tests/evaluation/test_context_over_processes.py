"""Two processes read each video once between them, and the main one finds what one process alone finds."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist
from made_videos import CPU, Colors, FakeReader, Normed, labeled_set, made_context, model
from torch.multiprocessing import start_processes

from stica_pv.evaluation.feature_evaluation import FeatureEvaluation
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.protocols.retrieval import Retrieval
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.suite import run_evaluations

LENGTHS = (12, 13)  # batches of equal size, and one item left over
WORLD = 2
REQUEST = FeatureRequest(clips=2)


def evaluate(folder: Path, length: int) -> tuple[list[str], dict[str, float]]:
    """Files read here, and the numbers."""
    reader = FakeReader()
    models = [model("trained", Colors()), model("random_init", Normed(), "random", reestimate=True)]
    context = made_context(folder, models, labeled_set(length), reader=reader, loading=Loading(CPU, 6, 0))
    evaluation = FeatureEvaluation("retrieval", Retrieval("retrieval", REQUEST, REQUEST, "cosine"), "raw", 0)
    return reader.paths, run_evaluations([evaluation], context).flat()


def run_process(rank: int, folder: str) -> None:
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=WORLD, timeout=timedelta(minutes=5))
    try:
        found = {length: evaluate(Path(folder) / str(length), length) for length in LENGTHS}
        (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-processes")
    start_processes(run_process, args=(str(folder),), nprocs=WORLD, start_method="forkserver")
    return folder


def report_of(folder: Path, rank: int, length: int) -> Any:
    return json.loads((folder / f"{rank}.json").read_text())[str(length)]


@pytest.mark.parametrize("length", LENGTHS)
def test_each_video_is_read_for_features_by_one_process_only(two: Path, length: int):
    # every process re-estimates the statistics for itself, on all training videos
    training = [f"{i}.mp4" for i in labeled_set(length).folds[0].train.tolist()]
    everything = [f"{i}.mp4" for i in range(length)]
    read = sorted(path for rank in range(WORLD) for path in report_of(two, rank, length)[0])
    assert read == sorted([*everything, *training * WORLD])


@pytest.mark.parametrize("length", LENGTHS)
def test_the_main_process_finds_what_one_process_finds(two: Path, tmp_path: Path, length: int):
    _, numbers = evaluate(tmp_path, length)
    assert report_of(two, 0, length)[1] == numbers
    names = sorted(path.name for path in (tmp_path / "features").iterdir())
    assert sorted(path.name for path in (two / str(length) / "features").iterdir()) == names
    assert len(names) == 2
    for name in names:
        folders = (tmp_path, two / str(length))
        one, other = (np.load(next((folder / "features" / name).glob("*.npz"))) for folder in folders)
        assert np.array_equal(one["index"], other["index"])  # exact: integers
        assert np.abs(one["features"] - other["features"]).max() < 1e-6  # sums within a batch may be ordered otherwise


def test_other_processes_score_nothing(two: Path):
    assert report_of(two, 1, LENGTHS[0])[1].keys() == {"chance/top1"}
