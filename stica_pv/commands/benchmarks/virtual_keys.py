"""Time of the loss against the keys of many processes, which one process can hold without them."""

import argparse
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from stica_pv.commands.benchmarks.looped import Looped
from stica_pv.commands.benchmarks.records import Row, Target
from stica_pv.commands.benchmarks.subject import STANDARD, create_subject, detached, named
from stica_pv.commands.benchmarks.timing import alternate, clock_of, in_ms
from stica_pv.structures import Embeddings
from stica_pv.tasks import AVContrastive


def loss_rows(args: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """The paper's batch over its processes, and a large batch on each of them."""
    task = create_subject(args).to(device)
    paper = (args.rank_batch // args.ranks or 1, args.rank_batch)
    for local, keys in (paper, (args.loss_rows, args.rank_batch * args.ranks)):
        mine, everybodys = virtual_rows(task, min(local, keys), keys, device)
        looped = Looped(task).to(device)

        def ours(mine: Embeddings = mine, everybodys: Embeddings = everybodys) -> None:
            task.loss(fresh(mine), everybodys, rank_offset=0).total.backward()

        def loop(mine: Embeddings = mine, everybodys: Embeddings = everybodys, looped: Looped = looped) -> None:
            looped.loss(fresh(mine), everybodys, rank_offset=0).backward()

        taken = alternate({"ours": ours, "loop": loop}, args.repeats, clock_of(device))
        yield Row.paired(
            f"loss: {local} rows against {keys:,} keys, {named(STANDARD)}",
            "ms",
            in_ms(taken["ours"]),
            "loop over terms",
            in_ms(taken["loop"]),
            target=Target("ratio", "<=", 1),
            note="Loss: ours includes accuracy and the signs of collapse, which the loop leaves out.",
        )


def virtual_rows(
    task: AVContrastive, local: int, keys: int, device: torch.device, seed: int = 0
) -> tuple[Embeddings, Embeddings]:
    """Random unit rows of all processes, laid out as `gather` leaves them, and of them the first `local`."""
    rng = torch.Generator().manual_seed(seed)
    head: Any = task.video_head
    windows, dim = task.sizes()["windows"], int(head.linear2.out_features)
    rows = F.normalize(torch.randn(keys, windows + 1, dim, generator=rng), dim=-1).to(device).transpose(0, 1)
    everybodys = {"windows": rows[:windows], "audio": rows[windows:]}
    everybodys["audio_valid"] = torch.ones(1, keys, 1, device=device)
    return {name: value[:, :local].clone() for name, value in everybodys.items()}, everybodys


def fresh(rows: Embeddings) -> Embeddings:
    """Leaves of the same values, which take gradients."""
    return {name: value.requires_grad_(name != "audio_valid") for name, value in detached(rows).items()}
