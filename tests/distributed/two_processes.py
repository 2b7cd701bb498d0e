"""What each of two gloo processes does for the tests of this folder, in one start: jobs whose results are saved.

The tests compute the same with one process on the global batch and compare.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from made_checkpoints import content
from sharded import sharding_job
from tiny_task import crossmodal_task, tiny_batch, tiny_task
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stica_pv.distributed import (
    CrossProcessBatchNorm,
    all_sum,
    bytes_to_main,
    from_main,
    gather,
    mean_over_processes,
    synchronize_batch_norm,
    to_main,
)
from stica_pv.engine import save_checkpoint
from stica_pv.engine.checkpoint import checkpoint_path
from stica_pv.engine.resume import check_same_position, find_checkpoint
from stica_pv.errors import UsageError
from stica_pv.losses import contrast_rows, normalize
from stica_pv.models import GroupBatchNorm
from stica_pv.structures import StepKeys
from stica_pv.tasks import AVContrastive, CropSettings

WORLD = 2
LOCAL = 3  # rows a process
CPU = torch.device("cpu")
INDICES = (11, 5, 8, 2, 9, 4)
AUDIO_VALID = (1.0, 0.0, 0.0, 1.0, 0.9, 1.0)  # one clip with audio on the first process, three on the second
STEPS = 2

NORM_SHAPES: dict[str, tuple[int, ...]] = {"2d": (6, 4), "3d": (6, 4, 5), "5d": (6, 4, 2, 3, 3)}
NORM_KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "cumulative": {"momentum": None},
    "not affine": {"affine": False},
    "not tracking": {"track_running_stats": False},
}
TASKS = ("all", "released", "per sample", "gradient through keys", "cross-modal")


def run(rank: int, folder: str) -> None:
    """Entry of a process; writes ``<rank>.pt``."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=WORLD, timeout=timedelta(minutes=5))
    try:
        results = {
            "texts": texts_job(rank),
            "sum": sum_job(rank),
            "gather": gather_job(rank),
            "contrast": contrast_job(global_rows()[rank * LOCAL : (rank + 1) * LOCAL], rank * LOCAL),
            "norm": {
                (shape, kind): norm_job(as_cross_process(shape, kind), *(x[here(rank)] for x in norm_input(shape)))
                for shape in NORM_SHAPES
                for kind in NORM_KINDS
            },
            "half": norm_job(
                as_cross_process("3d", "usual").float(), *(x[here(rank)].bfloat16() for x in norm_input("3d"))
            ),
            "channels last": norm_job(
                as_cross_process("5d", "usual"),
                *(x[here(rank)].contiguous(memory_format=torch.channels_last_3d) for x in norm_input("5d")),
            ),
            "group": {s: norm_job(group_norm(s), *(x[:, here(rank)] for x in group_input())) for s in (True, False)},
            "task": {name: task_job(name, rank) for name in TASKS},
            "resume": resume_job(rank, Path(folder)),
            "sharding": sharding_job(rank, Path(folder) / "sharding"),
        }
        torch.save(results, Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def here(rank: int) -> slice:
    """The rows of a process."""
    return slice(rank * LOCAL, (rank + 1) * LOCAL)


def noise(seed: int, *shape: int) -> Tensor:
    """Normal float64 numbers, the same on every process."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ---- collectives ----


def texts_job(rank: int) -> dict[str, Any]:
    """Texts and bytes of different lengths, one of them a name that is no valid text; torch's pickles are refused."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("what came from another process was unpickled")

    original, dist.distributed_c10d._unpickler = dist.distributed_c10d._unpickler, refuse
    try:
        return {
            "from main": [from_main("main says \udcff" if rank == 0 else "another"), from_main("")],
            "to main": [to_main("long\n" * (1 + 3 * rank)), to_main("")],
            "bytes": bytes_to_main(bytes(range(rank))),
        }
    finally:
        dist.distributed_c10d._unpickler = original


def sum_job(rank: int) -> dict[str, Tensor]:
    """Each process weighs the square of the sum in its own way."""
    x = torch.tensor([1.0, 10.0], dtype=torch.float64).mul(rank + 1).requires_grad_()
    total = all_sum(x)
    ((rank + 1) * total.square().sum()).backward()
    mean = mean_over_processes(x)
    return {"total": total.detach(), "grad": x.grad, "mean": mean, "x": x.detach()}


def gather_job(rank: int) -> dict[str, Any]:
    """Two groups of different shape; the gradient pass weighs all rows by rank + 1."""
    groups = {"a": noise(rank, 2, LOCAL, 4), "b": noise(10 + rank, 1, LOCAL, 1)}
    calls, original = [], dist.all_gather

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    dist.all_gather = counting
    try:
        plain = gather({name: rows.clone().requires_grad_() for name, rows in groups.items()}, with_gradient=False)
    finally:
        dist.all_gather = original
    leaves = {name: rows.clone().requires_grad_() for name, rows in groups.items()}
    joined = gather(leaves, with_gradient=True)
    ((rank + 1) * (joined["a"].pow(3).sum() + joined["b"].sum())).backward()
    return {
        "local": groups,
        "plain": plain,
        "calls": len(calls),
        "joined": {name: rows.detach() for name, rows in joined.items()},
        "grads": {name: rows.grad for name, rows in leaves.items()},
        "integers": gather({"a": groups["a"], "n": torch.full((1, LOCAL, 1), rank + 1)}, with_gradient=False)["n"],
    }


def global_rows() -> Tensor:
    """Rows (6, 5) of both processes."""
    return noise(5, WORLD * LOCAL, 5)


def contrast_job(rows: Tensor, first: int) -> dict[str, Tensor]:
    """A contrastive loss whose gradient also passes through the keys."""
    rows = rows.clone().requires_grad_()
    unit = normalize(rows)
    keys = gather({"rows": unit.unsqueeze(0)}, with_gradient=True)["rows"][0]
    loss = contrast_rows(unit, keys.roll(1, dims=1), temperature=0.3, rank_offset=first).mean()
    loss.backward()
    return {"loss": loss.detach(), "grad": rows.grad}


# ---- batch-norm ----


def norm_input(shape: str) -> tuple[Tensor, Tensor]:
    """Input and upstream gradient of the global batch; the two processes see different distributions."""
    x = noise(20, *NORM_SHAPES[shape])
    scale = torch.linspace(1, 4, x.shape[0], dtype=torch.float64).view(-1, *(1 for _ in x.shape[1:]))
    return x * scale + 3 * scale, noise(21, *x.shape)


def scrambled_norm(norm: nn.Module) -> nn.Module:
    """Gives the weights and statistics values that are not their start; float64."""
    with torch.no_grad():
        for seed, value in enumerate(norm.double().state_dict().values()):
            value.copy_(noise(30 + seed, *value.shape).abs() + 0.5 if value.is_floating_point() else torch.tensor(3))
    return norm


def as_cross_process(shape: str, kind: str) -> nn.Module:
    """What `synchronize_batch_norm` makes of a norm of torch."""
    norm = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 5: nn.BatchNorm3d}[len(NORM_SHAPES[shape])]
    features = NORM_SHAPES[shape][1]
    (converted,) = synchronize_batch_norm(nn.Sequential(scrambled_norm(norm(features, **NORM_KINDS[kind]))), CPU)
    assert type(converted) is CrossProcessBatchNorm
    return converted


def group_norm(synchronize: bool) -> nn.Module:
    """A group norm in a state that is not its start."""
    return scrambled_norm(GroupBatchNorm(4, synchronize=synchronize))


def group_input() -> tuple[Tensor, Tensor]:
    """Input (3, 6, 4) of three groups and upstream gradient."""
    x, upstream = norm_input("2d")
    return torch.stack([x, x.square(), x - 7]), torch.stack([upstream, upstream * 2, upstream * 3])


def norm_job(norm: nn.Module, x: Tensor, upstream: Tensor) -> dict[str, Any]:
    """Two steps in training mode; the result and gradients are of the second."""
    x = x.clone().requires_grad_()
    for _ in range(2):
        x.grad = None
        norm.zero_grad()
        y = norm(x)
        (y * upstream).sum().backward()
    parameters = {name: parameter.grad for name, parameter in norm.named_parameters()}
    return {"y": y.detach(), "grad": x.grad, "parameters": parameters, "state": dict(norm.named_buffers())}


# ---- where a run goes on ----


def resume_job(rank: int, folder: Path) -> dict[str, Any]:
    """What each process resumes from in folders that the two may see differently, or the message that it gets."""
    at_end = {"step": 5, "end": 9, "list_hash": "abc"}
    return {
        "one folder": resumed_step(folder / "shared", (3, 5) if rank == 0 else ()),
        "main sees more": resumed_step(folder / f"more {rank}", (3, 5) if rank == 0 else (3,)),
        "main sees less": resumed_step(folder / f"less {rank}", (3, 5) if rank == 0 else (3, 5, 7)),
        "main sees none": resumed_step(folder / f"none {rank}", () if rank == 0 else (3,)),
        "main may not": resumed_step(folder / f"old {rank}", (3,) if rank == 0 else (), resume=False),
        "another list": resumed_step(folder / "shared", (), list_hash="abc" if rank == 0 else "xyz"),
        "same position": message_of(lambda: check_same_position(**at_end)),
        **{
            key: message_of(
                lambda key=key, value=value: check_same_position(**(at_end | ({key: value} if rank else {})))
            )
            for key, value in {"step": 3, "end": 7, "list_hash": "xyz"}.items()
        },
    }


def resumed_step(folder: Path, written: tuple[int, ...], *, resume: bool = True, list_hash: str = "abc") -> Any:
    """Step of the checkpoint that this process is given after it has written some; None for none."""
    for step in written:
        save_checkpoint(checkpoint_path(folder, step), content(step=step), keep=9)
    dist.barrier()
    found: list[Any] = []
    message = message_of(lambda: found.append(find_checkpoint(folder, resume=resume, list_hash=list_hash)))
    return message or (found[0] and found[0]["step"])


def message_of(act: Callable[[], Any]) -> str:
    """The message of the usage error that comes of something, or ""."""
    try:
        act()
    except UsageError as error:
        return str(error)
    return ""


# ---- the whole method ----


def create_task(name: str) -> AVContrastive:
    """The task of a name, in float64, without dropout; equal weights on every call."""
    if name == "cross-modal":
        return crossmodal_task(double=True)
    crops = CropSettings(
        2, 4, 2, 1, pairing="released" if name == "released" else "all", per_sample=name == "per sample"
    )
    task = tiny_task(double=True, crops=crops, audio_head_passes=2 if name == "released" else 1)
    task.gather_with_gradient = name == "gradient through keys"
    return task


def train(task: AVContrastive, model: nn.Module, rows: slice) -> list[dict[str, Any]]:
    """Takes steps of plain gradient descent on a part of the global batch; notes what each step gave."""
    optimizer = torch.optim.SGD(task.parameters(), lr=0.3, momentum=0.9)
    notes = []
    for step in range(STEPS):
        params = task.sample_params(StepKeys(seed=1, step=step, epoch=0, indices=INDICES[rows]))
        terms = model(tiny_batch(INDICES[rows], AUDIO_VALID[rows]), params)
        optimizer.zero_grad()
        terms.total.backward()
        notes.append(
            {
                "scalars": terms.scalars,
                "grads": {name: p.grad.clone() for name, p in task.named_parameters()},
                "buffers": {name: buffer.clone() for name, buffer in task.named_buffers()},
            }
        )
        optimizer.step()
    return notes


def task_job(name: str, rank: int) -> list[dict[str, Any]]:
    """The steps of one process, set up as a run sets them up."""
    task = create_task(name)
    synchronize_batch_norm(task, CPU)
    model = DistributedDataParallel(task, broadcast_buffers=False, gradient_as_bucket_view=True)
    return train(task, model, here(rank))
