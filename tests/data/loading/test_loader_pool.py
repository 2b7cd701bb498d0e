"""Whatever fails in a worker, the main process reports in one line, and no process is left."""

import faulthandler
import functools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_clips import FakeReader, two_views
from processes import all_end, is_running
from torch.utils.data import default_collate

from stica_pv.data.loading import loader_pool
from stica_pv.data.loading.collate import collate
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.loader_pool import WorkerPool
from stica_pv.errors import LoaderFailed, UsageError
from stica_pv.structures import SampleKey

COUNT = 8


class Acts:
    """A reader that notes its process, and does something at one file."""

    def __init__(self, act: Callable[[], Any], folder: Path) -> None:
        self.act, self.folder = act, folder

    def __call__(self, path, requests):  # noqa: ANN001, ANN204
        (self.folder / f"{os.getpid()}").touch()
        if path == "5.mp4":
            self.act()
        return FakeReader()(path, requests)


def raise_in_two_lines() -> None:
    raise RuntimeError("a library\n  has failed")


def wrong_request() -> None:
    raise UsageError("DATA.FLOW_FPS is needed")


def die(number: int) -> None:
    faulthandler.disable()  # pytest's writes pages
    os.kill(os.getpid(), number)


class TwoArguments(Exception):  # noqa: N818 - a foreign class
    """Pickles, and does not unpickle."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_what_does_not_travel() -> None:
    raise TwoArguments(1, 2)


def loader(act: Callable[[], Any], folder: Path, *, isolated: bool = False, workers: int = 2) -> ClipLoader:
    reader: Any = Acts(act, folder)
    dataset = ClipDataset(
        [f"{i}.mp4" for i in range(COUNT)],
        [3.0] * COUNT,
        two_views(),
        reader=reader,
        seed=0,
        read_timeout_s=0 if isolated else None,
    )
    return ClipLoader(dataset, [[SampleKey(0, i)] for i in range(COUNT)], num_workers=workers)


def read_until_it_fails(batches: ClipLoader, folder: Path) -> tuple[int, Exception]:
    """Return how many batches came, and the error behind them, once all processes that read have ended."""
    done = 0
    try:
        for batch in batches:
            assert batch.index.tolist() == [done]
            done += 1
    except (LoaderFailed, UsageError) as error:
        assert all_end(int(path.name) for path in folder.iterdir() if int(path.name) != os.getpid())
        return done, error
    pytest.fail("nothing failed")


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(
    ("act", "line"),
    [
        (raise_in_two_lines, "RuntimeError: a library has failed (test_loader_pool.py:"),
        (raise_what_does_not_travel, "1 and 2 (test_loader_pool.py:"),
        (functools.partial(default_collate, [object()]), "TypeError: default_collate: batch must contain tensors"),
        (functools.partial(open, "/nowhere"), "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere'"),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_the_loader_is_one_line_with_its_place(
    tmp_path: Path, act: Callable[[], Any], line: str, isolated: bool, workers: int
):
    done, error = read_until_it_fails(loader(act, tmp_path, isolated=isolated, workers=workers), tmp_path)
    assert done == 5
    assert isinstance(error, LoaderFailed)
    assert str(error).startswith("the loader failed: ")
    assert line in str(error)
    assert "(test_loader_pool.py:" in str(error)  # the innermost line that is not of a library
    assert "\n" not in str(error)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_wrong_request_found_in_the_loader_stays_one(tmp_path: Path, workers: int):
    _, error = read_until_it_fails(loader(wrong_request, tmp_path, workers=workers), tmp_path)
    assert isinstance(error, UsageError)
    assert str(error) == "DATA.FLOW_FPS is needed"


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (
            signal.SIGKILL,
            r"was killed by signal 9 \(SIGKILL\), probably because memory ran out; lower DATA_LOADER\.NUM",
        ),
        (signal.SIGBUS, r"was killed by signal 7 \(SIGBUS\), probably because memory ran out; lower DATA_LOADER\.NUM"),
        (
            signal.SIGSEGV,
            r"was killed by signal 11 \(SIGSEGV\), probably by a bug of a library; set DATA_LOADER\.NUM_WORKERS 0",
        ),
    ],
)
def test_a_killed_worker_is_one_line(tmp_path: Path, number: int, line: str):
    _, error = read_until_it_fails(loader(functools.partial(die, number), tmp_path), tmp_path)
    with pytest.raises(LoaderFailed, match=rf"a loader worker \(process id \d+, one of 2\) {line}"):
        raise error


def test_a_worker_that_ends_itself_is_one_line(tmp_path: Path):
    _, error = read_until_it_fails(loader(lambda: os._exit(3), tmp_path), tmp_path)
    assert "exited with code 3; set DATA_LOADER.NUM_WORKERS 0 to find the cause" in str(error)


def test_a_batch_that_cannot_travel_is_one_line(tmp_path: Path):
    def unpicklable(items: Any, empty: Any) -> Any:
        return lambda: items

    dataset = loader(lambda: None, tmp_path).dataset
    pool = WorkerPool(dataset, unpicklable, workers=1, start_method="fork")
    with pytest.raises(LoaderFailed, match="PicklingError|AttributeError"):
        list(pool.batches([[SampleKey(0, 1)]]))
    pool.close()


def test_a_worker_that_is_killed_between_two_batches_is_noticed_at_the_next(tmp_path: Path):
    batches = iter(loader(lambda: None, tmp_path))
    next(batches)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    os.kill(pids[0], signal.SIGKILL)
    assert all_end(pids[:1])
    with pytest.raises(LoaderFailed, match="SIGKILL"):
        next(batches)
    assert all_end(pids)


def test_workers_that_do_not_listen_are_ended_all_the_same(tmp_path: Path):
    batches = iter(loader(lambda: time.sleep(600), tmp_path))
    next(batches)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert all(is_running(pid) for pid in pids)
    batches.close()
    assert all_end(pids)


def test_a_process_that_was_forked_next_to_the_workers_does_not_end_them(tmp_path: Path):
    dataset = loader(lambda: None, tmp_path).dataset
    pool = WorkerPool(dataset, collate, workers=1, start_method="fork")
    pid = os.fork()
    if pid == 0:
        pool.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(list(pool.batches([[SampleKey(0, 1)]]))) == 1
    pool.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_large_lists_of_keys_never_block_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int):
    monkeypatch.setattr(loader_pool, "_PENDING_BYTES", 2**12)
    dataset = loader(lambda: None, tmp_path).dataset
    sizes = [1, 2_000, 3, 4, 1_000, 2, 1, 1]
    keys = [[SampleKey(0, i % COUNT) for i in range(size)] for size in sizes]
    pool = WorkerPool(dataset, collate, workers=workers, start_method="fork")
    assert [len(batch) for batch in pool.batches(keys)] == sizes  # type: ignore[arg-type]
    pool.close()


def test_files_in_flight_may_be_more_than_the_soft_limit():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        loader_pool._allow_open_files(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, before[1])
        loader_pool._allow_open_files(280)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the end of a parent to its children")
def test_workers_and_their_decoding_processes_end_with_a_killed_parent(tmp_path: Path):
    script = f"""
import os, signal, time
from pathlib import Path
from loading.test_loader_pool import loader
batches = iter(loader(lambda: time.sleep(600), Path({str(tmp_path)!r}), isolated=True))
print(len(next(batches)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n"), done.stderr
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids
    assert all_end(pids)
