import ctypes
import math
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from made_clips import FakeReader, two_views
from processes import all_end, is_running

from stica_pv.data.isolation import worker_process
from stica_pv.data.isolation.isolated import Isolated
from stica_pv.data.isolation.worker_process import is_lasting
from stica_pv.data.loading.collate import Sample
from stica_pv.data.loading.dataset import SKIPPED, ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.manifest.bad_files import lasting_failures
from stica_pv.errors import LoaderFailed, UnreadableClip, UsageError
from stica_pv.structures import Batch, SampleKey

SEED = 3


class Trap:
    """Reads like `FakeReader`, but one file hangs in C, kills its process, exits, is broken, or meets a bug.

    `times` is how often it does; after that it is read.
    """

    def __init__(self, path: str, kind: str, log: Path, times: int = 99) -> None:
        self.path, self.kind, self.log, self.times = path, kind, log, times

    def __call__(self, path, requests):  # noqa: ANN001, ANN204
        if path == self.path and not (self.log.exists() and len(self.log.read_text().split()) >= self.times):
            with self.log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            match self.kind:
                case "hang":
                    ctypes.PyDLL(None).sleep(900)  # in C and with the interpreter's lock: no Python code runs meanwhile
                case "crash":
                    os.kill(os.getpid(), signal.SIGSEGV)
                case "outside":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "exit":
                    os._exit(7)
                case "broken":
                    raise UnreadableClip(path, "no key frame")
                case "bug":
                    raise KeyError("a bug")
        return FakeReader()(path, requests)


def dataset(trap: Trap, timeout_s: float = 0.5, *, replace: bool = True) -> ClipDataset:
    paths = [f"{i}.mp4" for i in range(8)]
    return ClipDataset(
        paths, [3.0] * 8, two_views(), reader=trap, seed=SEED, replace_failures=replace, read_timeout_s=timeout_s
    )


def batches(
    videos: ClipDataset, *, workers: int = 1, steps: range = range(4), start_method: str = "fork"
) -> list[Batch]:
    order = StepSampler(8, batch_size=2, seed=SEED, start=steps.start, end=steps.stop)
    return list(ClipLoader(videos, order, num_workers=workers, start_method=start_method))


def content(found: list[Batch]) -> list[tuple[list[int], list[float], list[float]]]:
    return [(b.index.tolist(), b.video["a"].float().flatten().tolist(), b.audio["a"].flatten().tolist()) for b in found]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("hang", "time-out after 0.5 s"),
        ("crash", "the decoder killed its process (SIGSEGV)"),
        ("exit", "the decoder killed its process (exit code 7)"),
        ("outside", "the process that read it was killed from outside, as when memory runs out"),
        ("broken", "no key frame"),
    ],
)
def test_a_file_that_hangs_or_kills_is_replaced_by_key_like_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cause: str, workers: int
):
    monkeypatch.setattr(
        worker_process, "_GRACE_S", 900.0
    )  # so that the alarm alone ends what hangs, within the test's limit
    found = batches(dataset(Trap("5.mp4", kind, tmp_path / "pids")), workers=workers)
    assert [(f.path, f.cause) for batch in found for f in batch.failures] == [("5.mp4", cause)]
    plain = ClipDataset(
        [f"{i}.mp4" for i in range(8)], [3.0] * 8, two_views(), reader=FakeReader({"5.mp4": cause}), seed=SEED
    )
    assert content(found) == content(batches(plain, workers=0))
    assert all_end(int(pid) for pid in (tmp_path / "pids").read_text().split())


@pytest.mark.parametrize("kind", ["outside", "crash", "exit"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_whose_process_died_once_is_read_by_another_and_nothing_changes(tmp_path: Path, kind: str, workers: int):
    found = batches(dataset(Trap("5.mp4", kind, tmp_path / "pids", times=1)), workers=workers)
    assert len((tmp_path / "pids").read_text().split()) == 1
    assert [failure for batch in found for failure in batch.failures] == []
    assert content(found) == content(batches(dataset(Trap("", "", tmp_path)), workers=0))


@pytest.mark.parametrize(("kind", "tries"), [("outside", 2), ("crash", 2), ("hang", 1)])
def test_a_file_whose_process_dies_twice_is_given_up_and_one_that_hangs_at_once(tmp_path: Path, kind: str, tries: int):
    batches(dataset(Trap("5.mp4", kind, tmp_path / "pids")), steps=range(4))
    assert len((tmp_path / "pids").read_text().split()) == tries


def test_a_file_that_hung_is_not_touched_again_in_later_epochs(tmp_path: Path):
    found = batches(dataset(Trap("5.mp4", "hang", tmp_path / "pids")), steps=range(12))
    assert len((tmp_path / "pids").read_text().split()) == 1
    causes = [f.cause for batch in found for f in batch.failures]
    assert (causes[0], set(causes[1:])) == ("time-out after 0.5 s", {SKIPPED})
    assert len(causes) >= 3
    assert all(is_lasting(cause) for cause in causes)


def test_a_broken_file_is_tried_again_since_that_costs_nothing(tmp_path: Path):
    batches(dataset(Trap("5.mp4", "broken", tmp_path / "pids")), steps=range(12))
    assert len((tmp_path / "pids").read_text().split()) >= 3


def test_a_resumed_run_skips_what_hung_before_and_gives_the_same_batches(tmp_path: Path):
    straight = batches(dataset(Trap("5.mp4", "crash", tmp_path / "pids")), steps=range(12))
    step = next(step for step, batch in enumerate(straight) if batch.failures)
    bad = tmp_path / "bad_files.csv"
    cause = straight[step].failures[0].cause
    bad.write_text(
        f"stage,step,path,cause\nexcluded,,1.mp4,{cause}\nread,0,2.mp4,no key frame\nread,{step},5.mp4,{cause}\n"
    )
    resumed = dataset(Trap("5.mp4", "crash", tmp_path / "more"))
    resumed.skip({path: step // 4 for path, step in lasting_failures(bad).items()})
    assert content(batches(resumed, steps=range(step, 12))) == content(straight[step:])
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("kind", ["hang", "crash"])
def test_evaluation_stops_with_the_name_of_the_file(tmp_path: Path, kind: str):
    videos = dataset(Trap("5.mp4", kind, tmp_path / "pids"), replace=False)
    with pytest.raises(UnreadableClip, match=r"5\.mp4: (time-out after|the decoder killed)"):
        list(ClipLoader(videos, [[SampleKey(0, 1)], [SampleKey(0, 5)]], num_workers=1))  # type: ignore[arg-type]


def test_a_bug_of_ours_is_not_taken_for_a_bad_file(tmp_path: Path):
    with pytest.raises(LoaderFailed, match=r"KeyError: 'a bug' \(test_isolated\.py:\d+, in __call__\)"):
        batches(dataset(Trap("5.mp4", "bug", tmp_path / "pids")))


def test_without_workers_the_reader_is_called_in_this_process(tmp_path: Path):
    batches(dataset(Trap("5.mp4", "broken", tmp_path / "pids")), workers=0)
    assert set((tmp_path / "pids").read_text().split()) == {str(os.getpid())}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere functions run in this process")
def test_a_sample_from_another_process_has_the_same_values_and_memory_layout(tmp_path: Path):
    videos = dataset(Trap("", "", tmp_path))
    isolated = Isolated(lambda index: (os.getpid(), videos.make_sample(index, SampleKey(2, index))), timeout_s=30.0)
    expected = videos.make_sample(5, SampleKey(2, 5))
    process, sample = isolated(5)
    assert process != os.getpid()
    assert isinstance(sample, Sample)
    for views, others in ((sample.video, expected.video), (sample.audio, expected.audio)):
        assert views.keys() == others.keys()
        for name, view in views.items():
            assert torch.equal(view, others[name])  # exact: the same code with the same shapes, twice
            assert view.stride() == others[name].stride()
    isolated._process.stop()


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (1, 2, 1, 3)])
@pytest.mark.skipif(sys.platform != "linux", reason="worker processes are forked")
def test_tensors_of_any_layout_are_passed_between_processes(shape: tuple[int, ...]):
    tensor = torch.arange(math.prod(shape)).view(shape)
    sent = (tensor, tensor.permute(list(reversed(range(tensor.ndim)))), tensor.float())
    process = worker_process.WorkerProcess(lambda request: request, 30.0)
    process.ask(sent)
    (received,) = process.receive()
    assert all(torch.equal(one, other) for one, other in zip(sent, received, strict=True))  # exact: copied
    assert [one.dtype for one in received] == [torch.int64, torch.int64, torch.float32]
    process.stop()


@pytest.mark.slow  # a spawned worker imports torch anew
def test_spawned_workers_give_the_batches_of_forked_ones(tmp_path: Path):
    forked, spawned = (
        batches(dataset(Trap("5.mp4", "crash", tmp_path / "pids")), steps=range(2), start_method=method)
        for method in ("fork", "spawn")
    )
    assert content(spawned) == content(forked)


def test_no_worker_process_outlives_its_worker(tmp_path: Path):
    class Names:
        def __call__(self, path, requests):  # noqa: ANN001, ANN204
            (tmp_path / f"{os.getpid()}").touch()
            return FakeReader()(path, requests)

    iterator = iter(ClipLoader(dataset(Names()), StepSampler(8, batch_size=2, seed=0, end=100), num_workers=2))  # type: ignore[arg-type]
    next(iterator)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids
    assert all(is_running(pid) for pid in pids)
    del iterator
    assert all_end(pids)


def test_a_negative_time_out_and_an_unknown_start_method_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"DATA\.READ_TIMEOUT_SECONDS must be >= 0, got -1"):
        dataset(Trap("", "", tmp_path), timeout_s=-1)
    with pytest.raises(UsageError, match=r"DATA_LOADER\.START_METHOD: got 'thread'; expected one of fork, spawn"):
        batches(dataset(Trap("", "", tmp_path)), start_method="thread")
