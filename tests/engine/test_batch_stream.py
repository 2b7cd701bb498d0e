from collections.abc import Iterator

import pytest
import torch

from stica_pv.engine import batch_stream
from stica_pv.engine.batch_stream import fail_without_batch, next_batches
from stica_pv.engine.meter import Clock
from stica_pv.errors import LoaderFailed, RunFailed, UnreadableClip, UsageError
from stica_pv.structures import Batch, ReadFailure

CLOCK = Clock(torch.device("cpu"))


def batches(*errors: Exception) -> Iterator[Batch]:
    yield Batch({}, {}, {}, torch.tensor([0]), None, (ReadFailure("a.mp4", "torn"),))
    for error in errors:
        raise error


def test_behind_the_last_batch_there_is_none_without_end():
    stream = next_batches(batches(), CLOCK, lambda failures: None)
    assert next(stream).batch is not None
    assert [(found.batch, found.error) for found in (next(stream), next(stream))] == [(None, None)] * 2


@pytest.mark.parametrize(
    "error", [LoaderFailed("gone"), UnreadableClip("a.mp4", "torn"), UsageError("wrong")], ids=repr
)
def test_what_a_person_is_meant_to_read_is_handed_on_and_not_raised(error: Exception):
    stream = next_batches(batches(error), CLOCK, lambda failures: None)
    next(stream)
    assert next(stream).error is error
    with pytest.raises(type(error), match=str(error)):
        fail_without_batch(error)


def test_a_mistake_of_ours_is_raised():
    stream = next_batches(batches(KeyError("a bug")), CLOCK, lambda failures: None)
    next(stream)
    with pytest.raises(KeyError):
        next(stream)


def test_an_error_of_the_report_counts_as_one_of_the_batch():
    def report(failures: tuple[ReadFailure, ...]) -> None:
        raise RunFailed(f"too many: {failures[0].path}")

    found = next(next_batches(batches(), CLOCK, report))
    assert (found.batch, str(found.error)) == (None, "too many: a.mp4")


@pytest.mark.parametrize(("usage", "kind"), [(0, RunFailed), (1, UsageError)])
def test_of_several_processes_all_raise_the_same(monkeypatch: pytest.MonkeyPatch, usage: int, kind: type[Exception]):
    reported: list[str] = []
    monkeypatch.setattr(batch_stream, "world_size", lambda: 2)
    monkeypatch.setattr(batch_stream, "barrier", lambda: None)
    monkeypatch.setattr(batch_stream, "largest", lambda values: [usage])
    monkeypatch.setattr(batch_stream, "first_problem", lambda text: reported.append(text) or "process 1 of 2: gone")
    for error in (None, LoaderFailed("gone")):
        with pytest.raises(kind, match="process 1 of 2: gone"):
            fail_without_batch(error)
    assert reported == ["", "process 0 of 2: gone"]
