"""How the time of a training step grows with batch, frames, crops, processes and the list of files.

A small network, so that it takes minutes on two cores; a whole step by the engine. On the CPU: one thread, processor
seconds; between processes wall seconds. An exponent is the slope of log time over log size: 1 is in proportion, 0 does
not grow.
"""

import argparse
import math
import time
from collections.abc import Iterator, Mapping
from functools import partial

import torch

from stica_pv.commands.benchmarks.exchange import Taken, in_processes
from stica_pv.commands.benchmarks.records import Row, Target
from stica_pv.commands.benchmarks.subject import Counts, add_subject_arguments, check_subject
from stica_pv.commands.benchmarks.timing import Clock, Work, alternate, clock_of, in_ms
from stica_pv.commands.benchmarks.training import TrainingStep
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.errors import UsageError

REPEATS = 3
BATCHES, FRAMES, CROPS, PROCESSES, ENTRIES = (2, 4, 8, 16), (30, 60, 120), (0, 8, 16, 32, 64), (1, 2), (2, 3, 4, 5, 6)
LARGE = 2  # crops of a view; the others are small, so that the terms of the loss grow in proportion
STEP_LIST_BATCH = 64
STEPS_AT_ONCE = 100
LINEAR, FLAT = Target("figure", "<=", 1.1), Target("figure", "<=", 0.1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this benchmark."""
    add_subject_arguments(parser, batch=4)
    parser.set_defaults(arch="r2plus1d_10", width=8, frames=30, size=56)
    for name, default in (("batches", BATCHES), ("lengths", FRAMES), ("crops", CROPS), ("processes", PROCESSES)):
        parser.add_argument(f"--{name}", type=int, nargs="+", default=list(default), metavar="N", help=f"{default}")
    parser.add_argument("--powers", type=int, nargs="+", default=list(ENTRIES), metavar="P", help="of 10: list entries")


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows as they are measured."""
    device = check_subject(args)
    clock = clock_of(device)
    for name in ("batches", "lengths", "crops", "processes", "powers"):
        least = 0 if name == "crops" else 1
        if min(getattr(args, name)) < least:
            raise UsageError(f"--{name}: expected numbers >= {least}, got {getattr(args, name)}")
    steps: dict[int, Work] = {size: sized(args, device, batch=size) for size in args.batches}
    yield from series(
        "step", "batch", steps, args.repeats, clock, LINEAR, samples={size: size for size in args.batches}
    )
    steps = {frames: sized(args, device, frames=frames) for frames in args.lengths}
    yield from series("step", "frames", steps, args.repeats, clock, LINEAR)
    steps = {count: TrainingStep(args, device, crops=split(count)) for count in args.crops}
    yield from series("step", "crops a view", steps, args.repeats, clock, LINEAR)
    yield from over_processes(args)
    yield from over_lists(args)


def sized(args: argparse.Namespace, device: torch.device, **change: int) -> TrainingStep:
    """A step at another size."""
    return TrainingStep(argparse.Namespace(**(vars(args) | change)), device)


def split(count: int) -> Counts:
    """Returns the settings for a number of crops per view: two large, the others small."""
    return (min(LARGE, count), max(0, count - LARGE), 0, 0)


def series(
    what: str,
    over: str,
    works: Mapping[int, Work],
    repeats: int,
    clock: Clock,
    target: Target,
    *,
    samples: Mapping[int, int] | None = None,
) -> Iterator[Row]:
    """Times work of growing size alternately, and yields each relative to the smallest, and the exponent."""
    taken = alternate({str(size): work for size, work in works.items()}, repeats, clock)
    yield from grown(what, over, {size: in_ms(taken[str(size)]) for size in works}, target, samples)


def grown(
    what: str, over: str, ms: Mapping[int, list[float]], target: Target, samples: Mapping[int, int] | None = None
) -> Iterator[Row]:
    """Yields times by size; with `samples`, the number per step of each size, also the time per sample."""
    smallest = min(ms)
    for size, values in ms.items():
        yield Row.paired(f"{what}, {over} {size:,}", "ms", values, f"{over} {smallest:,}", ms[smallest])
    for size in ms if samples is not None else ():
        assert samples is not None
        each, first = ([value / samples[one] for value in ms[one]] for one in (size, smallest))
        yield Row.paired(f"a sample of it, {over} {size:,}", "ms", each, f"{over} {smallest:,}", first)
    sizes = [size for size in ms if size > 0]
    if len(sizes) > 1:
        rounds = range(len(ms[smallest]))
        slopes = [slope(sizes, [ms[size][turn] for size in sizes]) for turn in rounds]
        yield Row.single(f"exponent of {what} over {over}", "", slopes, target=target)


def slope(sizes: list[int], values: list[float]) -> float:
    """Returns the least-squares slope of log value over log size."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return top / sum((a - middle_x) ** 2 for a in x)


def over_processes(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the time of a step with the same batch per process, for more processes."""
    taken = {}
    for count in args.processes:
        whole = argparse.Namespace(**(vars(args) | {"device": "cpu", "batch": args.batch * count}))
        taken[count] = in_processes(count, time_step, whole, args.batch, max(2, args.repeats))
    for key, description in (("wall", "wall time"), ("own", "processor time of one")):
        ms = {count: in_ms(found[key]) for count, found in taken.items()}
        samples = {count: args.batch * count for count in args.processes} if key == "wall" else None
        yield from grown(f"step, {args.batch} clips on each, {description}", "processes", ms, FLAT, samples)
    most = max(args.processes)
    if most > 1:
        yield from over_norms(args, most)


def over_norms(args: argparse.Namespace, count: int) -> Iterator[Row]:
    """Yields the cost of batch-norm across processes in their step."""
    whole = argparse.Namespace(**(vars(args) | {"device": "cpu", "batch": args.batch * count}))
    for description, clock in (("wall time", time.perf_counter), ("processor time of one", time.process_time)):
        ms = {
            key: in_ms(each)
            for key, each in in_processes(count, time_norms, whole, args.batch, args.repeats, clock).items()
        }
        what = f"step, {args.batch} clips on each, {description}, processes {count}"
        yield Row.paired(what, "ms", ms["across"], "batch-norm of each process by itself", ms["apart"])


def time_norms(args: argparse.Namespace, local: int, repeats: int, clock: Clock) -> Taken:
    """Times the step with and without batch-norm across processes, alternately; runs in each process."""
    device = torch.device("cpu")
    works: dict[str, Work] = {
        "across": TrainingStep(args, device, local=local),
        "apart": TrainingStep(args, device, "BN.SYNC", "False", local=local),
    }
    return alternate(works, repeats, clock)


def time_step(args: argparse.Namespace, local: int, repeats: int) -> Taken:
    """Times the common steps, in wall time and in its processor time; runs in each process."""
    step = TrainingStep(args, torch.device("cpu"), local=local)
    taken: Taken = {"wall": [], "own": []}
    step()
    for _ in range(repeats):
        wall, own = time.perf_counter(), time.process_time()
        step()
        taken["wall"].append(time.perf_counter() - wall)
        taken["own"].append(time.process_time() - own)
    return taken


def over_lists(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the order of an epoch, sampled once, and the list accesses of each step."""
    sizes = [10**power for power in args.powers]
    batch = min(STEP_LIST_BATCH, *sizes)
    samplers = {size: StepSampler(size, batch_size=batch, seed=0) for size in sizes}
    lists = {size: CompactStrings(f"class/video_{number:07}.mp4" for number in range(size)) for size in sizes}
    steps: dict[int, Work] = {size: partial(name_samples, samplers[size], lists[size]) for size in sizes}
    what = f"files of {STEPS_AT_ONCE} steps of {batch}"
    yield from series(what, "list entries", steps, args.repeats, time.process_time, FLAT)
    orders: dict[int, Work] = {size: partial(first_step, size, batch) for size in sizes}
    yield from series("order of an epoch", "list entries", orders, args.repeats, time.process_time, LINEAR)


def name_samples(sampler: StepSampler, paths: CompactStrings) -> None:
    """Returns the files of some steps of one epoch."""
    for step in range(STEPS_AT_ONCE):
        for index in sampler.local_indices(step % sampler.steps_per_epoch):
            paths[index]


def first_step(size: int, batch: int) -> None:
    """Samples the order of an epoch, which its first step requires."""
    StepSampler(size, batch_size=batch, seed=0).local_indices(0)
