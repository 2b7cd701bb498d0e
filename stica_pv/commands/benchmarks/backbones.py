"""Cost of every video backbone at its standard input, and the added cost of STiCA's crops, pooling and heads.

Parameters, multiply-adds and memory are counted at the standard input without computing anything; time is measured in
one CPU thread, at a small input unless --timing standard.
"""

import argparse
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from stica_pv.commands.benchmarks.counting import Counts, count
from stica_pv.commands.benchmarks.heads import Heads, plan_for
from stica_pv.commands.benchmarks.measuring import BATCH, Timings, time_trunk
from stica_pv.commands.benchmarks.records import Row
from stica_pv.commands.outputs import write_text
from stica_pv.models import STANDARD_INPUTS, MapSize, Trunk, create_backbone, measure_pathways
from stica_pv.models.backbones import accepted_settings
from stica_pv.models.feature_map import meta_copy
from stica_pv.registry import BACKBONES

REPEATS = 3
SMALL = (4, 64)
SMALL_EXCEPTIONS = {"s3d": (16, 64)}  # the smallest whose map can still be cropped

COUNTED = ("backbone", "frames × px", "map", "M parameters", "GMACs", "kept MB", "peak MB forward", "peak MB step")
ADDED = ("heads: M parameters", "GMACs", "kept MB", "adds GMACs", "adds memory")
TIMED = ("timed at", "clips/s forward", "clips/s step")
ADDED_TIME = (
    "adds time forward",
    "adds time step",
)  # a small input reduces the cost of the trunk, but hardly that of the heads


class Costs(NamedTuple):
    """Costs of one backbone."""

    name: str
    clip: tuple[int, int]
    sizes: tuple[MapSize, ...]
    trunk: Counts
    heads: Counts
    timed_at: tuple[int, int] | None
    timings: Timings | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this benchmark."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="backbones, <library>:<name> too; default: all of --list backbones"
    )
    parser.add_argument("--timing", choices=("none", "small", "standard"), default="small", help="input size to time")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the cost table to this file as well")


def cost(name: str, timing: str, repeats: int) -> Costs:
    """Counts and times one backbone."""
    clip = STANDARD_INPUTS.get(name) or _published_clip(name)
    trunk = _build(name, clip)
    sizes = measure_pathways(trunk, frames=clip[0], size=clip[1])
    video = torch.empty(BATCH, 3, clip[0], clip[1], clip[1], device="meta")
    of_trunk = count(meta_copy(trunk), video, clips=BATCH)
    maps = [torch.zeros(BATCH, *one, requires_grad=True) for one in sizes]
    of_heads = count(Heads(trunk.out_channels), maps, plan_for(sizes), clips=BATCH)
    timed_at = {"none": None, "small": SMALL_EXCEPTIONS.get(name, SMALL), "standard": clip}[timing]
    if timed_at is None:
        return Costs(name, clip, sizes, of_trunk, of_heads, None, None)
    if timed_at != clip:
        trunk = _build(name, timed_at)
    timings = time_trunk(trunk, frames=timed_at[0], size=timed_at[1], repeats=repeats)
    return Costs(name, clip, sizes, of_trunk, of_heads, timed_at, timings)


def _build(name: str, clip: tuple[int, int]) -> Trunk:
    accepted = accepted_settings(name)
    settings: dict[str, Any] = {
        key: value for key, value in zip(("frames", "size"), clip, strict=True) if key in accepted
    }
    return cast(Trunk, create_backbone(name, **settings))


def _published_clip(name: str) -> tuple[int, int]:
    """Returns the input size of a library's model; 16 frames where it takes any number."""
    frames, size = cast(Trunk, create_backbone(name)).probe
    return max(frames, 16), size


def cells(row: Costs) -> Iterator[str]:
    """Yields the text of each cell of a row."""
    yield row.name
    yield f"{row.clip[0]} × {row.clip[1]}"
    yield " + ".join("×".join(map(str, size)) for size in row.sizes)
    yield f"{row.trunk.parameters / 1e6:.1f}"
    yield f"{row.trunk.gmacs:.3g}"
    yield f"{row.trunk.kept_mb:.0f}"
    yield f"{row.trunk.peak_forward_mb:.0f}"
    yield f"{row.trunk.peak_step_mb:.0f}"
    yield f"{row.heads.parameters / 1e6:.1f}"
    yield f"{row.heads.gmacs:.2g}"
    yield f"{row.heads.kept_mb:.2g}"
    yield f"{row.heads.gmacs / row.trunk.gmacs:.1%}"
    yield f"{row.heads.kept_mb / row.trunk.kept_mb:.1%}"
    if row.timings is not None and row.timed_at is not None:
        yield f"{row.timed_at[0]} × {row.timed_at[1]}"
        yield f"{BATCH / row.timings.forward:.3g}"
        yield f"{BATCH / row.timings.step:.3g}"
        if row.timed_at == row.clip:
            yield f"{row.timings.heads_forward / row.timings.forward:.1%}"
            yield f"{row.timings.heads_step / row.timings.step:.1%}"


def line(texts: Iterator[str] | tuple[str, ...]) -> str:
    """Returns a line of a Markdown table."""
    return f"| {' | '.join(texts)} |"


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the cost of the heads relative to each trunk, and prints a table of all costs at the end."""
    for name in args.names:
        accepted_settings(name)  # fails for a wrong name before anything is measured
    timed = {"none": (), "small": TIMED, "standard": (*TIMED, *ADDED_TIME)}[args.timing]
    head = (*COUNTED, *ADDED, *timed)
    lines = [line(head), "|" + "---|" * len(head)]
    for name in args.names or BACKBONES.names():
        costs = cost(name, args.timing, args.repeats)
        lines.append(line(cells(costs)))
        yield from against_trunk(costs)
    note = (
        f"GMACs and kept memory: one clip; peak memory: batch {BATCH}, without weights and clips; counted, in fp32; "
        "heads: the whole map, 2 + 4 crops in space and 2 + 1 in time of one view; "
        f"time: batch {BATCH}, one thread, processor seconds, the median of {args.repeats}; "
        f"torch {torch.__version__}, {platform.processor() or platform.machine()}"
    )
    print("", *lines, "", note, sep="\n")
    if args.markdown:
        write_text(args.markdown, "\n".join([*lines, "", note]) + "\n")


def against_trunk(costs: Costs) -> Iterator[Row]:
    """Yields the costs of the heads, compared with those of the trunk."""
    heads, trunk, name = costs.heads, costs.trunk, costs.name
    yield Row.paired(f"{name}: multiply-adds of the heads", "GMACs", [heads.gmacs], "the trunk", [trunk.gmacs])
    yield Row.paired(f"{name}: memory kept by the heads", "MB", [heads.kept_mb], "the trunk", [trunk.kept_mb])
    timings = costs.timings
    if timings is not None and costs.timed_at == costs.clip:
        yield Row.paired(f"{name}: step of the heads", "s", [timings.heads_step], "the trunk", [timings.step])
