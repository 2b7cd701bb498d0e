"""Cost of STiCA's crops, pooling, heads and losses, compared with the trunk, a loop, and crops of the input.

On the CPU: one thread, processor seconds. A step is forward and backward, fp32. Each view has its own pass through the
trunk, so the trunk is timed on one view and counted twice. Crops are stated per view: L large and S small in space, TL
and TS in time.
"""

import argparse
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from stica_pv.commands.benchmarks.counting import Live, sum_of_squares
from stica_pv.commands.benchmarks.exchange import gather_rows
from stica_pv.commands.benchmarks.peaks import Peaks, flops_of, measure_peaks
from stica_pv.commands.benchmarks.records import Limit, Row, Target
from stica_pv.commands.benchmarks.subject import (
    MANY,
    STANDARD,
    BeyondTrunk,
    Counts,
    add_subject_arguments,
    check_subject,
    create_subject,
    default_batch,
    named,
)
from stica_pv.commands.benchmarks.timing import alternate, clock_of, in_ms
from stica_pv.commands.benchmarks.training import fp32_precision
from stica_pv.commands.benchmarks.virtual_keys import loss_rows
from stica_pv.models.feature_map import meta_copy
from stica_pv.tasks.stica.av_params import VIEWS

REPEATS = 3
HEAD_REPEATS = 3  # factor on the rounds of work that takes a thousandth of the trunk's time
MEMORY_BATCH = 8
SHARES = {STANDARD: 0.02, MANY: 0.05}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this benchmark."""
    add_subject_arguments(parser, batch=default_batch(views=1))
    parser.add_argument("--head_batch", type=int, default=8, metavar="B", help="clips for timing the heads alone (8)")
    parser.add_argument("--ranks", type=int, default=64, metavar="W", help="processes whose keys are compared (64)")
    parser.add_argument(
        "--rank_batch", type=int, default=512, metavar="B", help="clips per process, in the largest loss (512)"
    )
    parser.add_argument("--loss_rows", type=int, default=32, metavar="B", help="clips whose loss is timed (32)")


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows as they are measured."""
    device = check_subject(args)
    with fp32_precision(strict=True):  # the limit is a matrix product in fp32: convolutions must not use TF32
        peaks = measure_peaks(device)
        yield from against_trunk(args, device, peaks)
        yield from memory(args)
        for crops in (STANDARD, MANY):
            yield from against_loop(args, crops, device, peaks)
        yield from loss_rows(args, device)
        yield from gather_rows(args)


def warm_up_of(device: torch.device) -> int:
    """Returns the number of warm-up rounds of slow work: on a GPU the first round selects and loads kernels."""
    return 0 if device.type == "cpu" else 1


def trunk_step(trunk: nn.Module, video: Tensor) -> None:
    """Runs a trunk forward and backward."""
    trunk.zero_grad(set_to_none=True)
    sum_of_squares(trunk(video)).backward()


def against_trunk(args: argparse.Namespace, device: torch.device, peaks: Peaks) -> Iterator[Row]:
    """Yields the time beyond the trunk relative to the trunk's, and the step with crops of the input instead."""
    trunk = create_subject(args).backbone.to(device)
    video = torch.randn(args.batch, 3, args.frames, args.size, args.size, device=device)
    parts = {crops: BeyondTrunk(create_subject(args, crops), args.batch, device) for crops in SHARES}
    works = {"trunk": lambda: trunk_step(trunk, video)} | {named(crops): part.ours for crops, part in parts.items()}
    for part in parts.values():
        part.ours()
    taken = alternate(works, args.repeats, clock_of(device), warm_up=warm_up_of(device))
    both = in_ms(taken["trunk"], len(VIEWS))
    flops = len(VIEWS) * flops_of(lambda: trunk_step(meta_copy(trunk), video.to("meta")))
    at = f"batch {args.batch}, {args.frames} × {args.size}²"
    limit = Limit("its FLOPs at the rate of a large matrix product", 1000 * flops / peaks.flops)
    yield Row.single(f"trunk {args.arch}, both views, {at}", "ms", both, limit=limit)
    for crops, share in SHARES.items():
        name, target = f"beyond the trunk: {named(crops)}, {at}", Target("ratio", "<=", share)
        limit = Limit("its FLOPs", 1000 * flops_of(parts[crops].ours) / peaks.flops)
        beyond = in_ms(taken[named(crops)])
        yield Row.paired(name, "ms", beyond, "the trunk", both, target=target, limit=limit)
    steps = [trunk_ms + heads_ms for trunk_ms, heads_ms in zip(both, in_ms(taken[named(STANDARD)]), strict=True)]
    yield input_crops(args, trunk, steps, device)


def input_crops(args: argparse.Namespace, trunk: nn.Module, steps: list[float], device: torch.device) -> Row:
    """Returns the step with feature crops, compared with as many crops of the same sizes from the input."""
    settings = create_subject(args).table.settings
    extra_ms = 0.0
    windows: tuple[tuple[Literal["space", "time"], int], ...] = (("space", 1), ("space", 0), ("time", 1), ("time", 0))
    for (kind, large), count in zip(windows, STANDARD, strict=True):
        frames, height, width = settings.window(kind, bool(large), (args.frames, args.size, args.size))
        if kind == "time":  # the cap on their length is in cells of the map
            frames = round(args.frames * settings.time_sizes[0 if large else 1])
        video = torch.randn(args.batch, 3, frames, height, width, device=device)
        work = {"crop": lambda video=video: trunk_step(trunk, video)}
        taken = alternate(work, 1, clock_of(device), warm_up=warm_up_of(device))
        extra_ms += in_ms(taken["crop"], len(VIEWS) * count)[0]
    return Row.paired(
        f"whole step with crops of the feature map: {named(STANDARD)}, batch {args.batch}",
        "ms",
        steps,
        "as many crops of the input, each through the trunk",
        [step + extra_ms for step in steps],
        note="Crops of the input: one of each size is timed once and counted as often as it is cut.",
    )


def memory(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the peak memory beyond the trunk, compared with that of the trunk, counted from live tensors."""
    trunk = meta_copy(create_subject(args).backbone)
    videos = torch.empty(len(VIEWS), MEMORY_BATCH, 3, args.frames, args.size, args.size, device="meta")
    with Live() as of_trunk:
        torch.stack([sum_of_squares(trunk(video)) for video in videos]).sum().backward()
    for crops, share in SHARES.items():
        part = BeyondTrunk(create_subject(args, crops), MEMORY_BATCH, torch.device("cpu"))
        with Live() as beyond:
            part.ours()
        yield Row.paired(
            f"peak memory beyond the trunk: {named(crops)}, batch {MEMORY_BATCH}",
            "MB",
            [beyond.peak / 2**20],
            "the trunk, both views",
            [of_trunk.peak / 2**20],
            target=Target("ratio", "<=", share),
            note="Memory: of results and gradients, without weights, clips and what kernels take for themselves.",
        )


def against_loop(args: argparse.Namespace, crops: Counts, device: torch.device, peaks: Peaks) -> Iterator[Row]:
    """Yields everything beyond the trunk, compared with an equivalent loop."""
    part = BeyondTrunk(create_subject(args, crops), args.head_batch, device)
    taken = alternate({"ours": part.ours, "loop": part.loop}, args.repeats + HEAD_REPEATS, clock_of(device))
    on_gpu = device.type == "cuda" and crops == MANY
    yield Row.paired(
        f"beyond the trunk: {named(crops)}, batch {args.head_batch}",
        "ms",
        in_ms(taken["ours"]),
        "loop over crops and terms",
        in_ms(taken["loop"]),
        target=Target("ratio", "<=", 1 / 8 if on_gpu else 1 / 2),
        limit=Limit("its FLOPs", 1000 * flops_of(part.ours) / peaks.flops),
    )
