"""Loads CLIPS samples of files with WORKERS workers, and prints the memory in each tenth of the time.

python -m stica_pv.commands.benchmarks.loader_memory CLIPS WORKERS FILE...
"""

import json
import sys

from stica_pv.commands.benchmarks.loader_paths import BATCH, Ours, work_on
from stica_pv.commands.benchmarks.process_memory import family, proportional_mb
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.sampler import StepSampler

TENTHS, POINTS = 10, 50


def main(clips: int, workers: int, files: list[str]) -> None:
    """Prints JSON: for each tenth, the least MB of this process, its workers and decoders.

    It is the least of several measurements: a worker has zero to four ready batches, and a leak raises the least too.
    """
    batch = min(BATCH, len(files))
    steps = clips // batch
    apart = max(1, steps // (TENTHS * POINTS))
    sampler = StepSampler(len(files), batch_size=batch, seed=0, end=steps)
    samples: list[list[float]] = [[] for _ in range(TENTHS)]
    for step, _ in enumerate(ClipLoader(Ours(work_on(files)).dataset, sampler, num_workers=workers)):
        if step % apart == 0:
            samples[step * TENTHS // steps].append(proportional_mb(family()))
    print(json.dumps({"memory_mb": [min(tenth) for tenth in samples]}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
