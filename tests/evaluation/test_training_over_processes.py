"""Fine-tuning and the curve of pre-training give the same on two processes as on one, as far as rounding allows."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from colored_clips import colored_cfg, colored_context, labeled_set, make_colored
from tiny_runs import run_tiny
from torch.multiprocessing import start_processes

from stica_pv.engine.records import read_metrics
from stica_pv.evaluation.finetune.finetune import finetune_from_config

pytestmark = pytest.mark.slow

WORLD = 2
RECIPE: dict[str, Any] = {"TEST__FINETUNE__CLIPS_PER_VIDEO": 3, "TEST__FINETUNE__TEST_FROM_EPOCH": 1}
# Nothing is learned: on so few videos a rounding error in the weights would turn votes.
CURVE: dict[str, Any] = {"TEST__ONLINE_KNN_EPOCHS": 1, "TEST__ONLINE_KNN_CLIPS": 2, "SOLVER__BASE_LR": 0.0}


def jobs(output: Path, clips: str, colored: list[str]) -> None:
    synchronized = colored_cfg(output / "synchronized", output / "synchronized", **RECIPE)
    finetune_from_config(synchronized).run(colored_context(synchronized, labeled_set(colored)))
    alone = colored_cfg(output / "alone", output / "alone", **RECIPE, TEST__FINETUNE__SYNC_BN=False)
    finetune_from_config(alone).run(colored_context(alone, labeled_set(colored)))
    run_tiny(Path(clips), output / "curve", **CURVE)


def train(rank: int, output: str, clips: str, colored: list[str]) -> None:
    torch.set_num_threads(1)
    rendezvous = f"file://{output}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=WORLD, timeout=timedelta(minutes=5))
    try:
        jobs(Path(output), clips, colored)
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def outputs(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the jobs on one process and on two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    colored = make_colored(one / "clips")
    jobs(one, str(clips_folder), colored)
    start_processes(train, args=(str(two), str(clips_folder), colored), nprocs=WORLD, start_method="forkserver")
    return one, two


def scores(output: Path) -> torch.Tensor:
    (fold,) = output.glob("finetune/*/fold1")
    return torch.stack([torch.load(path, weights_only=True) for path in sorted(fold.glob("scores_epoch_*.pt"))])


def test_fine_tuning_gives_the_same_scores(outputs: tuple[Path, Path]):
    one, two = (scores(output / "synchronized") for output in outputs)
    assert one.shape == (3, 6, 3)
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-3)


def test_statistics_of_each_process_by_itself_are_another_recipe_that_runs_too(outputs: tuple[Path, Path]):
    one, two = (scores(output / "alone") for output in outputs)
    assert two.shape == one.shape
    assert not torch.allclose(two, one, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(one, scores(outputs[0] / "synchronized"), rtol=1e-5, atol=1e-5)


def test_the_curve_is_the_same(outputs: tuple[Path, Path]):
    one, two = ([line for line in read_metrics(o / "curve") if "epoch_end" in line] for o in outputs)
    assert len(one) == 2
    assert {"online_knn/top1", "online_linear/top1", "rankme_video", "lidar_video"} <= set(one[0])
    for first, second in zip(one, two, strict=True):
        assert second == pytest.approx(first, rel=1e-3)
