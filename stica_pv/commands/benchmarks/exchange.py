"""Communication between processes of this machine by gloo: the gather of a step, compared with a copy of its bytes."""

import argparse
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from stica_pv.commands.benchmarks.records import Row
from stica_pv.commands.benchmarks.subject import create_subject
from stica_pv.commands.benchmarks.timing import alternate, in_ms
from stica_pv.distributed import connect, disconnect, gather
from stica_pv.structures import Embeddings

PROCESSES = 2
PATIENCE = timedelta(minutes=2)

Shapes = dict[str, tuple[int, int]]
Taken = dict[str, list[float]]


def gather_rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the gather of the rows of the paper's batch, from two processes with half of them each."""
    task = create_subject(args)
    head: Any = task.video_head
    dim = int(head.linear2.out_features)
    shapes: dict[str, tuple[int, int]] = {
        "windows": (task.sizes()["windows"], dim),
        "audio": (1, dim),
        "audio_valid": (1, 1),
    }
    taken = in_processes(PROCESSES, time_gather, shapes, max(1, args.rank_batch // PROCESSES), max(2, args.repeats))
    sent = sum(4 * groups * size for groups, size in shapes.values()) * args.rank_batch / 2**20
    yield Row.paired(
        f"gather of {args.rank_batch} clips' rows, {sent:.1f} MB, {PROCESSES} processes by gloo",
        "ms",
        in_ms(taken["gather"]),
        "a copy of as many bytes",
        in_ms(taken["copy"]),
        note="Gather: wall time on this machine; between machines the wire counts instead.",
    )


def time_gather(shapes: Shapes, local: int, repeats: int) -> Taken:
    """Times the gather of a step, and the copy; runs in each process."""
    rows: Embeddings = {name: torch.randn(groups, local, size) for name, (groups, size) in shapes.items()}
    source = torch.randn(PROCESSES * sum(value.numel() for value in rows.values()))
    works = {"gather": lambda: gather(rows, with_gradient=False), "copy": lambda: source.clone()}
    return alternate(works, repeats, time.perf_counter)


def in_processes(count: int, act: Callable[..., Taken], *arguments: Any) -> Taken:
    """Runs `act(*arguments)` in `count` connected processes with one thread each; returns times of the first one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    members = [
        context.Process(target=_member, args=(rank, count, port, answers, act, arguments)) for rank in range(count)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
    if any(member.exitcode for member in members):
        raise RuntimeError(f"the measuring processes exited with {[member.exitcode for member in members]}")
    found: Taken = answers.get()
    return found


def _member(
    rank: int, count: int, port: int, answers: Any, act: Callable[..., Taken], arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, count, rank == 0, PATIENCE)
    connect("gloo", store, rank, count, PATIENCE)
    taken = act(*arguments)
    if rank == 0:
        answers.put(taken)
    disconnect()
