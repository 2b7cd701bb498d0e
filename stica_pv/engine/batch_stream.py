"""The batches of a run: if one process gets none, all end with its reason."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from stica_pv.distributed import barrier, first_problem, largest, rank, world_size
from stica_pv.engine.meter import Clock
from stica_pv.engine.profiling import next_recorded
from stica_pv.errors import RunFailed, UnreadableClip, UsageError
from stica_pv.structures import Batch, ReadFailure

ReportFailures = Callable[[int, tuple[ReadFailure, ...]], None]
"""(steps done, files that the next batch could not read)."""


@dataclass(frozen=True)
class NextBatch:
    """Result of the loader.

    Attributes:
        batch: The batch; None at the end, or after an error.
        error: Reason why there is no batch.
    """

    batch: Batch | None = None
    error: Exception | None = None


def next_batches(
    batches: Iterable[Batch], clock: Clock, report: Callable[[tuple[ReadFailure, ...]], None]
) -> Iterator[NextBatch]:
    """Yields each batch and reports its unreadable files; after the last one yields empty results without end."""
    items = iter(batches)
    while True:
        try:
            clock.wait_begins()
            batch = next_recorded(items)
            clock.data_ready()
            if batch is not None:
                report(batch.failures)
        except (RunFailed, UnreadableClip, UsageError) as error:
            yield NextBatch(error=error)
        else:
            yield NextBatch(batch)


def fail_without_batch(error: Exception | None) -> None:
    """Raises on all processes why one of them has no batch, once the last step is saved. All processes call it.

    Args:
        error: Error of this process.

    Raises:
        RunFailed, UnreadableClip, UsageError: `error`, where this process is the only one.
        RunFailed, UsageError: Of several, the one of the lowest rank, with its number.
    """
    barrier()  # no process ends while the main one writes
    if error is not None and world_size() == 1:
        raise error
    (is_usage,) = largest([isinstance(error, UsageError)])
    reason = "" if error is None else f"process {rank()} of {world_size()}: {error}"
    raise (UsageError if is_usage else RunFailed)(first_problem(reason))
