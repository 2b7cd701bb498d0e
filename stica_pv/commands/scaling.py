"""Measures what a step exchanges and compares at the shapes of many processes, on the CPU of this machine.

The figures of docs/results/scaling.md: `stica-pv scaling --cfg stica/k400`.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from stica_pv.command_line import (
    add_cfg_arguments,
    command_parser,
    exit_code,
    parse_cfg_arguments,
    set_environment,
)

if TYPE_CHECKING:
    from stica_pv.config import CfgNode

REPEATS = 7
WARM_UP = 2
MEASURED_TASK = "av_contrastive"


def create_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = command_parser("scaling", __doc__)
    add_cfg_arguments(parser, "the recipe")
    parser.add_argument("--local_batch", type=int, default=8, metavar="B", help="videos of a process (8)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 64, 256, 1024], metavar="W", help="virtual ones")
    parser.add_argument("--processes", type=int, nargs="*", default=[2, 4], metavar="W", help="real ones, by gloo")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = create_parser()
    args = parse_cfg_arguments(parser, argv)
    if len(args.cfg) != 1:
        parser.error(f"--cfg: expected one FILE, got {len(args.cfg)}")
    if min([args.local_batch, *args.ranks, *args.processes]) < 1:
        parser.error("--local_batch, --ranks and --processes must be at least 1")
    return args


def least_ms(work: Callable[[], object]) -> float:
    """Least time of a call, in ms, after warming up: what the machine does besides only adds to it."""
    times = []
    for _ in range(WARM_UP + REPEATS):
        begin = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begin))
    return min(times[WARM_UP:])


def measure_loss(cfg: "CfgNode", local_batch: int, ranks: list[int]) -> None:
    """Prints rows that a process holds, and time and memory of its loss, forward and backward."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from stica_pv.engine.build_task import create_task
    from stica_pv.tasks.monitors import collapse_monitors

    task: Any = create_task(cfg)
    groups = {"windows": task.sizes()["windows"], "audio": task.audio_head_passes, "audio_valid": 1}
    sizes = {"windows": cfg.HEAD.DIM, "audio": cfg.HEAD.DIM, "audio_valid": 1}
    rng = torch.Generator().manual_seed(0)
    sent = sum(4 * groups[name] * sizes[name] for name in groups) * local_batch
    print(f"\n{groups['windows']} windows of {cfg.HEAD.DIM} numbers a video, {len(task.table.terms)} terms within; ")
    print(f"each process sends {sent / 2**10:.0f} KB a step; {torch.get_num_threads()} threads, least of {REPEATS}\n")
    print("| ranks | global batch | gathered, MB | loss, ms | of it monitors, ms | peak memory, MB |")
    print("|---" * 6 + "|")
    for world in ranks:
        rows = {name: torch.randn(groups[name], world * local_batch, sizes[name], generator=rng) for name in groups}
        rows = {name: torch.nn.functional.normalize(value, dim=-1) for name, value in rows.items()}
        rows["audio_valid"] = torch.ones(1, world * local_batch, 1)
        first = (world - 1) * local_batch
        local = {name: value[:, first:].clone().requires_grad_(name != "audio_valid") for name, value in rows.items()}

        def step(local: Any = local, rows: Any = rows, first: int = first) -> None:
            task.loss(local, rows, rank_offset=first).total.backward()

        def watch(local: Any = local, rows: Any = rows) -> None:
            own, everywhere = ((side["windows"][0].detach(), side["audio"][0].detach()) for side in (local, rows))
            has_audio = torch.ones(len(own[0])) > 0
            collapse_monitors(own, everywhere, has_audio, torch.ones(len(everywhere[0])) > 0)

        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            step()
        peak, held = 0, 0
        for event in profiled.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                peak = max(peak, held)
        print(
            f"| {world} | {world * local_batch} | {world * sent / 2**20:.1f} | {least_ms(step):.1f} "
            f"| {least_ms(watch):.1f} | {peak / 2**20:.1f} |"
        )


def measure_watch(ranks: list[int]) -> None:
    """Prints the time in which process 0 reads the heartbeats of all others, once a second."""
    from datetime import timedelta

    import torch.distributed as dist

    from stica_pv.launch.process_spec import ProcessSpec
    from stica_pv.launch.watchdog import Limits, Watchdog

    print("\n| ranks | a check of all of them (once a second, a thread of process 0), ms |\n|---|---|")
    for world in ranks:
        base = dist.TCPStore("127.0.0.1", 0, None, True, timedelta(seconds=60), wait_for_workers=False)
        watch = Watchdog(
            base, ProcessSpec(0, 0, world, "env://", False, ""), Limits(60, 1800, 600), lambda reason: None
        )
        for rank in range(world):
            base.set(f"sign/{rank}", json.dumps([0.0, 1.0, 100, "a-host-name", "stica_pv.engine.loop:170 train_step"]))
        print(f"| {world} | {least_ms(watch.check_all):.1f} |")


def exchange(
    rank: int, world: int, port: int, local_batch: int, shapes: dict[str, tuple[int, int]], lines: Any
) -> None:
    """A real process: times the gather of a step, the agreement on flags and the barrier."""
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    from stica_pv.distributed import barrier, connect, disconnect, gather, largest

    torch.set_num_threads(1)
    timeout = timedelta(minutes=2)
    store = dist.TCPStore("127.0.0.1", port, world, rank == 0, timeout)
    connect("gloo", store, rank, world, timeout)
    rows = {name: torch.randn(groups, local_batch, dim) for name, (groups, dim) in shapes.items()}
    found = [
        least_ms(lambda: gather(rows, with_gradient=False)),
        least_ms(lambda: largest((0, 1))),
        least_ms(barrier),
    ]
    if rank == 0:
        lines.append(f"| {world} | {found[0]:.2f} | {found[1]:.2f} | {found[2]:.2f} |")
    disconnect()


def measure_exchange(cfg: "CfgNode", local_batch: int, processes: list[int]) -> None:
    """Prints times of the operations between real processes of this machine."""
    import socket

    import torch.multiprocessing as mp

    from stica_pv.engine.build_task import create_task

    shapes = {"windows": (create_task(cfg).sizes()["windows"], cfg.HEAD.DIM), "audio": (1, cfg.HEAD.DIM)}
    print(f"\n{os.cpu_count()} CPUs, a thread a process, gloo\n")
    print("| processes | gather, ms | flags, ms | barrier, ms |\n|---|---|---|---|")
    for world in processes:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with mp.Manager() as manager:
            lines = manager.list()
            mp.spawn(  # type: ignore[attr-defined, no-untyped-call]
                exchange, args=(world, port, local_batch, shapes, lines), nprocs=world
            )
            print("\n".join(lines))


def run(args: argparse.Namespace) -> None:
    """Measures one thing after the other."""
    from stica_pv.errors import UsageError
    from stica_pv.launch.configuration import configure

    cfg = configure(args.cfg[0], args.overrides)
    if cfg.TASK != MEASURED_TASK:
        raise UsageError(f"TASK: expected {MEASURED_TASK}, whose rows and loss this measures; got {cfg.TASK}")
    measure_loss(cfg, args.local_batch, args.ranks)
    measure_watch(args.ranks)
    measure_exchange(cfg, args.local_batch, args.processes)


def main(argv: list[str]) -> int:
    """Runs the command line; 2: something asked for cannot be done."""
    set_environment()
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # the profiler's own words
    return exit_code(partial(run, parse(argv)))
