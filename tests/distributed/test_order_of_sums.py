"""Three CPU processes: gradients that torch has laid out anew are summed as before, so a resumed run is the same."""

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from attempts import CONTEXT
from torch import nn

from stica_pv.engine.state import _parallel

WORLD, STEPS = 3, 3


def gradients(rank: int, attempts: list[int]) -> list[torch.Tensor]:
    """Gradients of the last attempt's steps; each attempt has a new wrapper of the same weights, as after a resume."""
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Linear(31, 31) for _ in range(6)))
    data = torch.randn(STEPS, WORLD, 5, 31)
    found, step = [], 0
    for steps in attempts:
        model = _parallel(network)
        for _ in range(steps):
            network.zero_grad()
            model(data[step, rank]).square().sum().backward()
            found.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
            step += 1
    return found


def run(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", WORLD)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=WORLD, timeout=timedelta(minutes=1))
    straight, resumed = gradients(rank, [STEPS]), gradients(rank, [1, STEPS - 1])
    # exact: the order of the sums is what is tested
    torch.save([torch.equal(a, b) for a, b in zip(straight, resumed, strict=True)], f"{folder}/{rank}.pt")
    torch.save(straight, f"{folder}/gradients{rank}.pt")
    dist.destroy_process_group()


def test_gradients_after_a_resume_are_those_of_the_uninterrupted_run_and_warn_of_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    started = [CONTEXT.Process(target=run, args=(rank, str(tmp_path))) for rank in range(WORLD)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == [0] * WORLD
    for rank in range(WORLD):
        assert torch.load(tmp_path / f"{rank}.pt") == [True] * STEPS
    first, other = (torch.load(tmp_path / f"gradients{rank}.pt") for rank in (0, 2))
    # exact: all ranks take the same sums
    assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert "find_unused_parameters" not in capfd.readouterr().err
