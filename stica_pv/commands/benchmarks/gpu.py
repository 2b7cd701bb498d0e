"""A training step with each option for speed, compared with the plain one in fp32, and with its bare trunk.

It runs on any machine and states which. On the CPU, at a small size, it compares the options that apply there; reduced
precision, copies from the host, CUDA graphs and synchronizations need a GPU. There: wall time after all kernels.
"""

import argparse
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from stica_pv.commands.benchmarks.peaks import Peaks, flops_of, measure_peaks
from stica_pv.commands.benchmarks.records import Limit, Row, Target
from stica_pv.commands.benchmarks.subject import add_subject_arguments, check_subject, default_batch
from stica_pv.commands.benchmarks.timing import Work, alternate, clock_of, in_ms
from stica_pv.commands.benchmarks.training import TrainingStep, fp32_precision
from stica_pv.tasks.stica.av_params import VIEWS

REPEATS = 3
ON_CPU = {"width": 32, "frames": 16, "size": 56}
ON_GPU = {"width": 64, "frames": 30, "size": 112}

PLAIN = ("MODEL.CHANNELS_LAST", "False", "SOLVER.FUSED", "False")
BF16 = ("TRAIN.MIXED_PRECISION", "True", "TRAIN.AMP_DTYPE", "bf16")
MEANS = {"channels last": ("MODEL.CHANNELS_LAST", "True"), "fused optimizer": ("SOLVER.FUSED", "True")}
ON_GPU_ALONE = {"bf16": BF16, "fp16": ("TRAIN.MIXED_PRECISION", "True", "TRAIN.AMP_DTYPE", "fp16")}
COMPILE = ("TRAIN.COMPILE", "True")
TOP = 5
SYNCHRONISATION = "called a synchronizing"  # start of torch's warning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this benchmark."""
    add_subject_arguments(parser, batch=default_batch(len(VIEWS)))
    parser.set_defaults(**(ON_GPU if torch.cuda.is_available() else ON_CPU))
    parser.add_argument("--compile", action="store_true", help="also torch.compile; compilation takes minutes")


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows as they are measured."""
    device = check_subject(args)
    on_gpu = device.type == "cuda"
    means = MEANS | (ON_GPU_ALONE if on_gpu else {}) | ({"torch.compile": COMPILE} if args.compile else {})
    together = [override for name, overrides in means.items() if name != "fp16" for override in overrides]
    twin = TrainingStep(args, device, *PLAIN)
    plain = strictly(twin, strict=True)
    for name, overrides in means.items():
        one = strictly(
            TrainingStep(args, device, *PLAIN, *overrides), strict=True
        )  # otherwise TF32 would be part of the gain
        yield compare(args, device, f"step with {name}", one, "fp32", plain, None)
    step = TrainingStep(args, device, *PLAIN, *together)
    name = f"step with {', '.join(key for key in means if key != 'fp16')}"
    goals = (Target("ratio", "<=", 1 / 3), Target("ratio", "<=", 1 / 1.7)) if on_gpu else (None, None)
    yield compare(args, device, name, step, "fp32, without TF32", plain, goals[0])
    if on_gpu:
        default = strictly(TrainingStep(args, device, *PLAIN), strict=False)
        yield compare(args, device, name, step, "fp32 by PyTorch's defaults (TF32 in convolutions)", default, goals[1])
    yield from compare_with_limits(args, device, step, twin)
    if on_gpu:
        yield from only_on_gpu(args, device, step)


def strictly(work: Work, *, strict: bool) -> Work:
    """Returns the work with the given fp32 precision."""

    def run() -> object:
        with fp32_precision(strict=strict):
            return work()

    return run


def compare(
    args: argparse.Namespace,
    device: torch.device,
    name: str,
    work: Work,
    against: str,
    other: Work,
    target: Target | None,
) -> Row:
    """Times one step alternately with another."""
    taken = alternate({"figure": work, "comparison": other}, args.repeats, clock_of(device), warm_up=2)
    sizes = f"batch {args.batch}, width {args.width}, {args.frames} × {args.size}²"
    note = f"Sizes: {args.arch}, {sizes}."
    if device.type == "cpu":
        note += " A GPU is needed for bf16, fp16, TF32, copies from the host, CUDA graphs and synchronizations."
    return Row.paired(name, "ms", in_ms(taken["figure"]), against, in_ms(taken["comparison"]), target=target, note=note)


def compare_with_limits(
    args: argparse.Namespace, device: torch.device, step: TrainingStep, twin: TrainingStep
) -> Iterator[Row]:
    """Yields the share of the bare trunk in the step, and the step's utilization of the device."""
    on_gpu = device.type == "cuda"
    goal = Target("ratio", ">=", 0.9) if on_gpu else None
    share = compare(
        args, device, "bare trunk of both views, forward and backward", step.trunk, "whole step", step, goal
    )
    yield share
    peaks = measure_peaks(device, torch.bfloat16 if on_gpu else torch.float32)
    yield utilization(share, step, twin, peaks)
    yield Row.single("copy within the device", "GB/s", [peaks.bytes / 1e9])


def utilization(share: Row, step: TrainingStep, twin: TrainingStep, peaks: Peaks) -> Row:
    """Returns the operations per second of the whole step, compared with a large matrix product.

    They are counted on a copy that is not compiled: counting in a compiled step disables its compilation permanently.
    """
    assert share.comparison is not None
    flops = flops_of(twin)
    done = [flops / ms / 1e6 for ms in (share.comparison.high, share.comparison.median, share.comparison.low)]
    name, peak = "operations of convolutions and matrix products in a step", peaks.flops / 1e9
    note = f"Largest costs: {largest_costs(step, step.device)}."
    limit = Limit("a large matrix product", peak)
    return Row.paired(name, "GFLOP/s", done, "a large matrix product", [peak] * len(done), limit=limit, note=note)


def largest_costs(work: Callable[[], object], device: torch.device) -> str:
    """Returns the operations with the largest own time on a device, with their shares."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiled:
        work()
        clock_of(device)()  # on a GPU this waits for all kernels, which belong to the work
    return in_shares(profiled.key_averages(), "self_device_time_total" if on_gpu else "self_cpu_time_total")


def in_shares(averages: Iterable[Any], key: str) -> str:
    """Returns the rows of a profile with the largest `key`, each with its share of all operations."""
    # A GPU's kernels and annotations have separate rows; the time of kernels is also in the rows of the operations
    # that launched them.
    found = sorted(((getattr(row, key), row.key) for row in averages if row.device_type.name == "CPU"), reverse=True)
    whole = max(1e-9, sum(own for own, _ in found))
    return ", ".join(f"{name} {own / whole:.0%}" for own, name in found[:TOP])


def only_on_gpu(args: argparse.Namespace, device: torch.device, step: TrainingStep) -> Iterator[Row]:
    """Yields copies from the host, synchronizations of a step that is not logged, and the trunk as a CUDA graph."""
    hidden = Target("ratio", "<=", 1.01)
    yield compare(
        args, device, "step on clips of the host", step.from_host, "step on clips of the device", step, hidden
    )
    name = "synchronizations in a step that is not logged"
    yield Row.single(name, "", [synchronizations(step.from_host)], target=Target("figure", "<=", 0))
    graphed = TrainingStep(args, device, *PLAIN, *MEANS["channels last"], *BF16)
    with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False):  # a graph must not contain cached casts
        sample = torch.rand(args.batch, 3, args.frames, args.size, args.size, device=device)
        graphed.task.backbone = cast(nn.Module, torch.cuda.make_graphed_callables(graphed.task.backbone, (sample,)))
    eager = TrainingStep(args, device, *PLAIN, *MEANS["channels last"], *BF16)
    yield compare(args, device, "bare trunk as a CUDA graph", graphed.trunk, "bare trunk, bf16", eager.trunk, None)


def synchronizations(work: Work) -> float:
    """Returns how often some work waits for the GPU, as counted by CUDA's debug mode."""
    work()
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    # setting the mode also warns
    return float(sum(SYNCHRONISATION in str(one.message) for one in caught))
