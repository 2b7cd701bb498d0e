"""Worker processes: a file that hangs or kills one is named, and no other file is lost."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from open_files import open_files
from processes import is_running

from stica_pv.data.isolation import worker_process
from stica_pv.data.isolation.worker_pool import answer_all
from stica_pv.data.isolation.worker_process import AGAIN, WorkerFailure, WorkerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked, with memory files: Linux only")

KILLED_FROM_OUTSIDE = WorkerFailure("the process that read it was killed from outside, as when memory runs out")
HANG_S = 900  # longer than the time limit of a test, which therefore fails if it waits for the end of this
HUNG, CRASHED = WorkerFailure("time-out after 0.3 s"), WorkerFailure("the decoder killed its process (SIGSEGV)")


def answer(request):
    match request if isinstance(request, str) else "":
        case "hang":
            ctypes.PyDLL(None).sleep(HANG_S)  # in C and with the interpreter's lock
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(3)
        case "bug":
            raise KeyError("a bug")
        case "who":
            return os.getpid()
        case "slow":
            time.sleep(0.1)
    return request * 2


@pytest.mark.parametrize("processes", [1, 3])
def test_each_request_is_answered_once_and_only_the_guilty_are_lost(processes: int, monkeypatch: pytest.MonkeyPatch):
    requests = [1, "crash", 2, 3, 4, "hang", 5, "crash", "crash", 6, 7, 8, 9]
    monkeypatch.setattr(
        worker_process, "_GRACE_S", HANG_S
    )  # the alarm ends what hangs, not the patience of the one that asks
    found = list(answer_all(answer, requests, processes=processes, timeout_s=0.3))
    assert len(found) == len(requests)
    assert sorted(result for _, result in found if not isinstance(result, WorkerFailure)) == [
        2 * i for i in range(1, 10)
    ]
    assert all(result == 2 * request for request, result in found if not isinstance(result, WorkerFailure))
    lost = [(request, result) for request, result in found if isinstance(result, WorkerFailure)]
    assert sorted(lost, key=str) == [("crash", CRASHED)] * 3 + [("hang", HUNG)]


def test_one_worker_process_answers_in_order():
    assert list(answer_all(answer, range(20), processes=1, timeout_s=5)) == [(i, 2 * i) for i in range(20)]
    assert list(answer_all(answer, [], processes=2, timeout_s=5)) == []


def test_the_time_of_each_request_counts_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_process, "_GRACE_S", 0.1)
    assert [answer for _, answer in answer_all(answer, ["slow"] * 12, processes=1, timeout_s=1.0)] == ["slowslow"] * 12


def test_processes_are_as_many_as_asked_for_and_end_with_the_answers():
    pids = {pid for _, pid in answer_all(answer, ["who"] * 40, processes=3, timeout_s=5)}
    assert 1 <= len(pids) <= 3
    assert os.getpid() not in pids
    assert not any(is_running(pid) for pid in pids)


def test_processes_end_when_nobody_wants_more_answers():
    answers = answer_all(answer, ["who", "who", "hang", "hang"], processes=4, timeout_s=2 * HANG_S)
    pids = [next(answers)[1], next(answers)[1]]
    answers.close()
    assert not any(is_running(pid) for pid in pids)


def test_a_batch_loses_one_answer_and_names_which():
    one = WorkerProcess(answer, 5)
    one.ask(1, 2, 3)
    one.ask(4, "crash", "bug")
    assert one.receive() == [2, 4, 6]
    assert one.receive() == [AGAIN, CRASHED, AGAIN]


def test_quick_requests_go_in_batches_and_the_lost_one_of_a_long_batch_is_the_guilty_one():
    requests = [*range(100), "crash", *range(100, 200), "exit", *range(200, 300)]
    found = list(answer_all(answer, requests, processes=2, timeout_s=5))
    assert sorted(result for _, result in found if not isinstance(result, WorkerFailure)) == list(range(0, 600, 2))
    assert {request for request, result in found if isinstance(result, WorkerFailure)} == {"crash", "exit"}
    assert len(found) == 302


@pytest.mark.parametrize(("most_s", "sizes"), [(0.0, [1, 1, 1]), (1e9, [2, 4, 4])])
def test_batches_grow_where_answers_are_quick_and_what_is_slow_comes_one_by_one(
    monkeypatch: pytest.MonkeyPatch, most_s: float, sizes: list[int]
):
    monkeypatch.setattr(worker_process, "_BATCH_S", most_s)
    monkeypatch.setattr(worker_process, "_MOST", 4)
    one, found = WorkerProcess(answer, 5), []
    for _ in sizes:
        one.ask(1, 2)
        one.receive()
        found.append(one.size)
    assert found == sizes
    one.stop()


def test_a_request_whose_worker_process_died_once_is_answered_by_another(tmp_path: Path):
    def die_once(request):
        if request == "once" and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return request * 2

    requests = [*range(40), "once", *range(40, 80)]
    found = dict(answer_all(die_once, requests, processes=2, timeout_s=5))
    assert found == {request: request * 2 for request in requests}
    assert (tmp_path / "died").exists()


def test_a_bug_is_raised_with_the_request():
    with pytest.raises(KeyError, match="a bug") as raised:
        list(answer_all(answer, [1, "bug"], processes=1, timeout_s=5))
    assert "for the request 'bug'" in raised.value.__notes__[0]


def test_an_exit_code_and_a_kill_from_outside_are_distinguished():
    one = WorkerProcess(answer, 5)
    one.ask("exit")
    assert one.receive() == [WorkerFailure("the decoder killed its process (exit code 3)")]
    other = WorkerProcess(answer, 5)
    other.ask("who")
    os.kill(other.receive()[0], signal.SIGKILL)
    other.ask(1)
    assert other.receive() == [KILLED_FROM_OUTSIDE]


def test_a_worker_process_that_ends_between_batches_loses_the_first_request_of_the_next():
    one = WorkerProcess(answer, 5)
    one.ask(1, 2, "who")
    os.kill(one.receive()[2], signal.SIGKILL)
    one.ask(3)
    assert one.receive() == [KILLED_FROM_OUTSIDE]


def test_a_batch_may_take_longer_than_each_of_its_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_process, "_GRACE_S", 0.1)
    one = WorkerProcess(answer, 1.0)
    one.ask(*["slow"] * 12)
    assert one.receive() == ["slowslow"] * 12
    one.stop()


def test_large_arrays_come_through_and_time_outs_count_from_each_request():
    one = WorkerProcess(answer, 1.0)
    big = np.arange(3_000_000, dtype=np.float32)
    for _ in range(4):
        time.sleep(0.3)
        one.ask(big)
        np.testing.assert_array_equal(one.receive()[0], 2 * big)  # exact: small whole numbers, which floats hold
    one.stop()


def test_a_worker_process_that_even_its_alarm_cannot_end_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_process, "_GRACE_S", 0.1)
    monkeypatch.setattr(worker_process, "_END_S", 0.2)

    def ignore(request):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        return answer(request)

    assert list(answer_all(ignore, ["hang", 1], processes=1, timeout_s=0.3)) == [("hang", HUNG), (1, 2)]


def test_no_file_stays_open():
    before = open_files()
    list(answer_all(answer, [1, "crash", 2, "exit"], processes=2, timeout_s=5))
    assert before
    assert not open_files() - before
