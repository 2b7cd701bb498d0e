"""From files to network inputs on one core: our loader, compared with a pytorchvideo pipeline and with bare decoding.

One second at a random position of each file: 30 frames as two augmented views of 112 pixels, a log-mel of 257 bands.
Without --data clips are generated. One thread, processor seconds; the rows of several workers are in wall time.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from stica_pv.commands.benchmarks.loader_clips import as_originals, chosen_files, generate, low_res_copies
from stica_pv.commands.benchmarks.loader_memory import TENTHS
from stica_pv.commands.benchmarks.loader_paths import (
    BATCH,
    Ours,
    Work,
    bare_worker,
    decoding,
    pytorchvideo_way,
    work_on,
)
from stica_pv.commands.benchmarks.records import Limit, Row, Spread, Target
from stica_pv.commands.benchmarks.timing import alternate
from stica_pv.commands.processes import environment_of_commands, module_of
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.errors import UsageError

REPEATS = 3
ORIGINALS, LIGHT = "originals", "low-resolution copy"
LEAST = {ORIGINALS: 20.0, LIGHT: 70.0}
AGAINST_PYTORCHVIDEO, OF_DECODING, MOST_OVERHEAD_MS, TWO_WORKERS, GROWTH = 5.0, 0.8, 2.0, 1.8, 1.02
UNIT = "videos/s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this benchmark."""
    parser.add_argument("--data", default="", metavar="FOLDER", help="videos with audio; default: generated clips")
    parser.add_argument(
        "--recode", action="store_true", help="first encode those of --data in the format of UCF-101's originals"
    )
    parser.add_argument(
        "--clips", type=int, default=16, metavar="N", help="number of files, evenly from the folder (16)"
    )
    parser.add_argument(
        "--passes", type=int, default=6, metavar="N", help="passes over the files, for the rows of workers (6)"
    )
    parser.add_argument(
        "--long", type=int, default=2000, metavar="N", help="clips to load while memory is measured (2000)"
    )


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows as they are measured."""
    if min(args.clips, args.passes) < 1 or (args.recode and not args.data):
        raise UsageError(f"expected --clips and --passes >= 1, and --recode only with --data; got {vars(args)}")
    if args.long < TENTHS * BATCH:
        raise UsageError(f"--long: expected at least {TENTHS * BATCH} clips, a batch for each tenth, got {args.long}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        there = {name: Path(folder) / name for name in ("generated", ORIGINALS, LIGHT)}
        for path in there.values():
            path.mkdir()
        given = chosen_files(args.data, args.clips) if args.data else generate(there["generated"], args.clips)
        originals = given if args.data and not args.recode else as_originals(given, there[ORIGINALS])
        for name, paths in ((ORIGINALS, originals), (LIGHT, low_res_copies(originals, there[LIGHT]))):
            work = work_on(paths)
            yield from of_one_core(name, work, args.repeats)
            yield of_workers(name, work, args.repeats, args.passes)
        yield of_memory(name, work, args.long)


def of_one_core(name: str, work: Work, repeats: int) -> Iterator[Row]:
    """Yields rates and shares for one kind of files."""
    ours = Ours(work)
    ways = {
        "ours": ours.tensors,
        "worker": ours.samples,
        "pytorchvideo": pytorchvideo_way(work),
        "decoding": decoding(work, rgb=False),
        "rgb": decoding(work, rgb=True),
        "bare": bare_worker(work),
    }
    taken = alternate(ways, repeats, time.process_time)
    rate = {way: [len(work.paths) / seconds for seconds in found] for way, found in taken.items()}
    bound = Limit("decoding alone, all frames", Spread.of(rate["decoding"]).median)
    whole = Target("figure", ">=", LEAST[name])
    yield Row.single(f"{name}: files to tensors, one core", UNIT, rate["ours"], target=whole, limit=bound)
    ratio_target = Target("ratio", ">=", AGAINST_PYTORCHVIDEO) if name == ORIGINALS else None
    against = "EncodedVideo, transforms, STFT of pytorchvideo"
    yield Row.paired(
        f"{name}: the same", UNIT, rate["ours"], against, rate["pytorchvideo"], target=ratio_target, limit=bound
    )
    share, against = Target("ratio", ">=", OF_DECODING), "decoding with RGB, all frames"
    yield Row.paired(f"{name}: a worker's part", UNIT, rate["worker"], against, rate["rgb"], target=share, limit=bound)
    around = [1000 * (part - bare) / len(work.paths) for part, bare in zip(taken["worker"], taken["bare"], strict=True)]
    most = Target("figure", "<=", MOST_OVERHEAD_MS)
    yield Row.single(f"{name}: Python around the work, in a worker", "ms a sample", around, target=most)
    device = [
        1000 * (whole - part) / len(work.paths) for whole, part in zip(taken["ours"], taken["worker"], strict=True)
    ]
    yield Row.single(f"{name}: the device's part, on the same core", "ms a sample", device)


def of_workers(name: str, work: Work, repeats: int, passes: int) -> Row:
    """Returns the rate of one and of two workers, in wall time."""
    dataset = Ours(work).dataset
    batch = min(BATCH, len(work.paths))
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for workers, rates in found.items():
            steps = max(2, passes * len(work.paths) // batch)
            sampler = StepSampler(len(work.paths), batch_size=batch, seed=0, end=steps)
            begin = time.perf_counter()  # otherwise prefetched batches would count as free
            count = sum(len(one.index) for one in ClipLoader(dataset, sampler, num_workers=workers))
            rates.append(count / (time.perf_counter() - begin))
    target = Target("ratio", ">=", TWO_WORKERS)
    note = "rows of workers are of the wall: they need as many idle cores as workers, and one more"
    return Row.paired(f"{name}: two workers", UNIT, found[2], "one worker", found[1], target=target, note=note)


def of_memory(name: str, work: Work, clips: int) -> Row:
    """Returns the least memory of a loading process, its worker and decoder, in the last tenth and in the second."""
    command = [*module_of("stica_pv.commands.benchmarks.loader_memory"), str(clips), "1", *work.paths]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment_of_commands())
    taken = json.loads(done.stdout)["memory_mb"]
    return Row.paired(
        f"{name}: memory of loader, worker and decoding process, last tenth of {clips:,} clips",
        "MB",
        taken[-1:],
        "second tenth",
        taken[1:2],
        target=Target("ratio", "<=", GROWTH),
    )
