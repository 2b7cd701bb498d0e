from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from stica_pv.structures import Batch, Embeddings, LossTerms, StepKeys, Views, ViewSpec
from stica_pv.tasks import AugmentationParams, ParameterGroup, Task, one_window
from stica_pv.tasks.base import Inputs


@dataclass(frozen=True)
class ShiftParams(AugmentationParams):
    shift: Tensor

    def rows(self, part: slice) -> "ShiftParams":
        return ShiftParams(self.shift[part])


class ToyTask(Task):
    """Pulls the rows of all processes towards the local mean; notes in which state its parts are called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.frozen = nn.Linear(4, 2).requires_grad_(False)
        self.received: list[str] = []

    def views(self) -> Views:
        spec = ViewSpec("view", "clip", 1, 1.0, 2, transform=lambda frames, size, rng: frames)
        return Views((spec,), one_window("clip", 1.0), min_seconds=1.0, needs_audio=False)

    def sample_params(self, keys: StepKeys) -> ShiftParams:
        return ShiftParams(torch.full((len(keys.indices), 1), float(keys.step)))

    def prepare(self, batch: Batch, params: ShiftParams) -> Inputs:
        self.received += ["prepare", f"gradient {torch.is_grad_enabled()}", f"cast {torch.is_autocast_enabled('cpu')}"]
        return {"x": batch.video["view"].float().flatten(1) + params.shift}

    def embed(self, inputs: Inputs, params: ShiftParams) -> Embeddings:
        self.received += ["embed", f"gradient {torch.is_grad_enabled()}", f"cast {torch.is_autocast_enabled('cpu')}"]
        return {"rows": self.linear(inputs["x"]).unsqueeze(0)}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        self.received += ["loss", f"from {rank_offset}", f"keys learn {gathered['rows'].requires_grad}"]
        self.received += [f"cast {torch.is_autocast_enabled('cpu')}", f"rows {local['rows'].dtype}"]
        return LossTerms((local["rows"].mean() - gathered["rows"]).square().mean())

    def encoders(self) -> dict[str, nn.Module]:
        return {"video": self.linear}


@pytest.fixture
def batch() -> Batch:
    video = torch.randint(0, 256, (3, 1, 1, 2, 2), dtype=torch.uint8)
    return Batch({"view": video}, {}, {}, torch.arange(3))


def step(task: ToyTask, batch: Batch) -> LossTerms:
    return task(batch, task.sample_params(StepKeys(seed=0, step=2, epoch=0, indices=(0, 1, 2))))


def test_forward_is_prepare_embed_gather_loss(batch: Batch) -> None:
    task = ToyTask()
    with torch.autocast("cpu", torch.bfloat16):
        terms = step(task, batch)
    assert task.received == [
        *("prepare", "gradient False", "cast False"),
        *("embed", "gradient True", "cast True"),
        *("loss", "from 0", "keys learn False", "cast False", "rows torch.float32"),
    ]
    assert terms.total.requires_grad


def test_forward_gives_what_the_parts_give(batch: Batch) -> None:
    task = ToyTask()
    rows = task.linear(batch.video["view"].float().flatten(1) + 2).unsqueeze(0)
    expected = task.loss({"rows": rows}, {"rows": rows.detach()}, rank_offset=0)
    assert torch.equal(step(task, batch).total, expected.total)  # exact: the same code with the same shapes, twice


def test_keys_learn_only_if_the_task_says_so(batch: Batch) -> None:
    task = ToyTask()
    task.gather_with_gradient = True
    step(task, batch)
    assert "keys learn True" in task.received


def test_local_terms_are_not_gathered(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    task, found = ToyTask(), {}

    def loss(local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        found.update(local=set(local), gathered=set(gathered))
        return LossTerms(local["error"].mean() + gathered["rows"].mean())

    def embed(inputs: Inputs, params: ShiftParams) -> Embeddings:
        rows = task.linear(inputs["x"]).unsqueeze(0)
        return {"rows": rows, "error": rows.square().sum(dim=-1, keepdim=True)}

    monkeypatch.setattr(task, "loss", loss)
    monkeypatch.setattr(task, "embed", embed)
    task.local_terms = frozenset({"error"})
    step(task, batch).total.backward()
    assert found == {"local": {"rows", "error"}, "gathered": {"rows"}}
    assert task.linear.weight.grad is not None


def test_a_local_term_that_is_not_embedded_is_named(batch: Batch) -> None:
    task = ToyTask()
    task.local_terms = frozenset({"error"})
    with pytest.raises(ValueError, match=r"local_terms \['error'\] are not among the embeddings \['rows'\]"):
        step(task, batch)


def test_default_parameter_group_holds_everything_that_learns() -> None:
    task = ToyTask()
    assert task.parameter_groups() == [ParameterGroup("all", (task.linear.weight, task.linear.bias), 1.0)]


def test_default_negatives_are_the_other_videos_of_the_global_batch() -> None:
    assert ToyTask().negatives(512) == 511


def test_a_task_without_its_parts_cannot_be_built() -> None:
    with pytest.raises(TypeError, match="abstract method"):
        Task()
    with pytest.raises(TypeError, match="abstract method"):
        AugmentationParams()
