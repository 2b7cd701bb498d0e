"""The loss of 64 processes, simulated by one: each compares its rows with those of all at its `rank_offset`."""

import pytest
import torch
from tiny_task import EMBEDDING, tiny_task

from stica_pv.structures import Embeddings
from stica_pv.tasks import CropSettings

RANKS, LOCAL = 64, 8  # as in the paper: 64 GPUs of 8 videos


def rows_of_all(groups: int, *, silent: bool) -> Embeddings:
    rng = torch.Generator().manual_seed(0)
    count = RANKS * LOCAL

    def unit(number: int) -> torch.Tensor:
        rows = torch.randn(number, count, EMBEDDING, generator=rng, dtype=torch.float64)
        return torch.nn.functional.normalize(rows, dim=-1)

    heard = torch.rand(1, count, 1, generator=rng) > 0.2 if silent else torch.ones(1, count, 1)
    return {"windows": unit(groups), "audio": unit(1), "audio_valid": heard.double()}


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("pairing", ["all", "released"])
def test_the_mean_over_64_ranks_is_the_loss_of_one_process_and_so_are_its_gradients(pairing: str, silent: bool):
    task = tiny_task(double=True, crops=CropSettings(2, 4, pairing=pairing))
    everything = rows_of_all(task.sizes()["windows"], silent=silent)
    names = ("windows", "audio")
    whole = {name: value.clone().requires_grad_(name in names) for name, value in everything.items()}
    gathered = {name: value.detach() for name, value in everything.items()}
    expected = task.loss(whole, gathered, rank_offset=0)
    expected.total.backward()
    total = torch.zeros((), dtype=torch.float64)
    for rank in range(RANKS):
        own = slice(rank * LOCAL, (rank + 1) * LOCAL)
        local = {name: value[:, own].clone().requires_grad_(name in names) for name, value in everything.items()}
        terms = task.loss(local, gathered, rank_offset=rank * LOCAL)
        terms.total.backward()
        total += terms.total.detach() / RANKS
        for name in names:
            grad = whole[name].grad
            assert grad is not None
            assert torch.allclose(local[name].grad / RANKS, grad[:, own], atol=1e-12), (rank, name)
    assert total.item() == pytest.approx(expected.total.item(), abs=1e-10)


def test_rows_at_another_offset_give_another_loss():
    task = tiny_task(double=True)
    everything = rows_of_all(task.sizes()["windows"], silent=False)
    local = {name: value[:, :LOCAL] for name, value in everything.items()}
    right, wrong = (task.loss(local, everything, rank_offset=row).total.item() for row in (0, LOCAL))
    assert wrong > right + 0.1


def test_the_shapes_of_the_paper_pass_through_the_loss():
    task = tiny_task(crops=CropSettings(2, 4))
    rng = torch.Generator().manual_seed(0)
    local, gathered = (
        {
            "windows": torch.nn.functional.normalize(torch.randn(14, count, 256, generator=rng), dim=-1),
            "audio": torch.nn.functional.normalize(torch.randn(1, count, 256, generator=rng), dim=-1),
            "audio_valid": torch.ones(1, count, 1),
        }
        for count in (LOCAL, RANKS * LOCAL)
    )
    terms = task.loss(local, gathered, rank_offset=63 * LOCAL)
    assert terms.total.isfinite()
    assert terms.scalars["loss_cross"].item() == pytest.approx(torch.tensor(512.0).log().item(), abs=0.5)  # chance
