"""Watches the processes of a run: if one dies or hangs, the others end soon, with its rank and the reason.

Errors of collective operations are not enough: NCCL waits for ever, and gloo reports "connection closed" for a neighbor
that only ended itself. So each process writes heartbeats to the store of the rendezvous, and process 0 checks them.
"""

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch.distributed as dist

from stica_pv.distributed import HEARTBEAT
from stica_pv.errors import RunStopped
from stica_pv.launch.process_spec import ProcessSpec
from stica_pv.launch.rendezvous import FAILURE
from stica_pv.terminal import over_bar

logger = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
EXIT_GRACE_S = 20.0  # time for the main thread to end by itself once the run has failed
EXIT_CODE = 5
# Parts of the messages that collective operations raise when another process has ended.
_ECHOES = ("gloo", "nccl", "connection", "peer", "socket", "broken pipe", "tcpstore", "work ran")


@dataclass(frozen=True)
class Limits:
    """Longest time between heartbeats, longest training step, and longest rendezvous (and connecting), in s."""

    heartbeat_timeout_s: float
    step_timeout_s: float
    rendezvous_timeout_s: float


class Watchdog:
    """While entered, sends the heartbeats of this process; on process 0 also checks those of all.

    Attributes:
        failure_reason: Reason why the run failed; "" if it has not.
    """

    def __init__(self, store: dist.Store, spec: ProcessSpec, limits: Limits, on_failure: Callable[[str], None]) -> None:
        self.failure_reason = ""
        self._store, self._spec, self._limits, self._on_failure = store, spec, limits, on_failure
        self._step_timeout_s = limits.rendezvous_timeout_s
        self._main = threading.current_thread().ident or 0
        self._left, self._is_over = threading.Event(), threading.Event()
        self._last_contact = time.monotonic()
        self._heartbeats: dict[int, tuple[str, float]] = {}
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send_heartbeats, self._enforce)]

    def __enter__(self) -> "Watchdog":
        for thread in self._threads:
            thread.start()
        return self

    def connected(self) -> None:
        """Applies the time-out of steps from now on; until here that of the rendezvous applied."""
        self._step_timeout_s = self._limits.step_timeout_s
        HEARTBEAT.pause()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind in (None, RunStopped) and not self.failure_reason:
            self._announce("leave", self._limits.heartbeat_timeout_s)
        elif self.failure_reason:
            # A store hosted by another process stays, and a killed process will never confirm.
            self._announce("received", 0.0 if self._spec.hosted else EXIT_GRACE_S / 2)
        self._left.set()

    def report(self, reason: str) -> str:
        """Reports to all processes that this one fails; returns the first reason reported, perhaps another's."""
        text = f"process {self._spec.rank} of {self._spec.world_size} on {socket.gethostname()}: {reason}"
        try:
            first: str = self._store.compare_set(FAILURE, "", text).decode()
        except RuntimeError:  # the store ended with process 0
            first = text
        self._set_reason(first)
        return first

    def explain(self, error: BaseException) -> str:
        """Returns why the run failed; `error` may only be a consequence of the end of another process."""
        if not is_echo(error):
            return self.report(_in_one_line(error))
        if not self._is_over.wait(self._limits.heartbeat_timeout_s + 3 * HEARTBEAT_S):
            return self.report(_in_one_line(error))
        return self.failure_reason

    def _send_heartbeats(self) -> None:
        own = f"heartbeat/{self._spec.rank}"
        while not self._left.wait(HEARTBEAT_S):
            heartbeat = [round(HEARTBEAT.idle_s(), 1), HEARTBEAT.step, socket.gethostname(), where(self._main)]
            try:
                self._store.set(own, json.dumps([time.monotonic(), *heartbeat]))
                if self._store.check([FAILURE]):
                    self._set_reason(self._store.get(FAILURE).decode())
                    self._store.set(f"received/{self._spec.rank}", "")
                elif self._spec.rank == 0:
                    self.check_all()
            except RuntimeError as error:
                if not self._left.is_set():
                    self._set_reason(f"process 0 has ended: its store does not answer ({_in_one_line(error)[:100]})")
                return
            self._last_contact = time.monotonic()

    def check_all(self) -> None:
        """Finds, on process 0, processes without a recent heartbeat, and a step that lasts too long."""
        now, hung = time.monotonic(), False
        for rank in range(self._spec.world_size):
            key = f"heartbeat/{rank}"
            text = self._store.get(key).decode() if self._store.check([key]) else ""
            if text != self._heartbeats.get(rank, ("\n", 0.0))[0]:
                self._heartbeats[rank] = text, now
            hung = hung or bool(text) and json.loads(text)[1] > self._step_timeout_s
        silent = sorted(set(range(self._spec.world_size)) - set(self._alive()))
        dead = [rank for rank in silent if not self._store.check([f"leave/{rank}"])]
        if dead:
            text = self._heartbeats[dead[0]][0]
            host, step = (json.loads(text)[3], json.loads(text)[2]) if text else ("an unknown host", 0)
            self._declare(
                f"process {dead[0]} of {self._spec.world_size} on {host} sent no heartbeat for "
                f"{self._limits.heartbeat_timeout_s:.0f} s, the last one in step {step}: "
                "it was killed, or its machine is down"
            )
        elif hung:
            self._declare(f"no step was finished for {self._step_timeout_s:.0f} s; {self._positions()}")

    def _alive(self) -> list[int]:
        """Returns the processes with a recent heartbeat, and those that this one has not checked yet."""
        since = time.monotonic() - self._limits.heartbeat_timeout_s
        return [rank for rank in range(self._spec.world_size) if self._heartbeats.get(rank, ("", since))[1] >= since]

    def _positions(self) -> str:
        """Describes where each process is, the smallest groups first: the others wait for them."""
        at: dict[str, list[int]] = {}
        for rank, (text, _) in self._heartbeats.items():
            heartbeat = json.loads(text)
            at.setdefault(f"step {heartbeat[2]}, {heartbeat[4]}", []).append(rank)
        few_first = sorted(at.items(), key=lambda pair: len(pair[1]))
        return "; ".join(f"process {', '.join(map(str, ranks[:8]))} in {what}" for what, ranks in few_first)

    def _declare(self, failure_reason: str) -> None:
        self._set_reason(self._store.compare_set(FAILURE, "", failure_reason).decode())

    def _set_reason(self, failure_reason: str) -> None:
        if not self._is_over.is_set():
            self.failure_reason = failure_reason
            self._is_over.set()

    def _enforce(self) -> None:
        """Ends this process if the run has failed and the main thread is blocked in an operation."""
        heartbeat_timeout_s = self._limits.heartbeat_timeout_s + 5 * HEARTBEAT_S  # process 0 reports first
        while not self._left.wait(HEARTBEAT_S) and not self._is_over.is_set():
            if time.monotonic() - self._last_contact > heartbeat_timeout_s:
                self._set_reason(f"process 0 sent no heartbeat for {heartbeat_timeout_s:.0f} s")
        if self._is_over.is_set() and not self._left.wait(EXIT_GRACE_S):
            try:
                logger.critical("%s; ending this process", self.failure_reason)
                self._on_failure(self.failure_reason)
                sys.stderr.write(over_bar(f"failed: {self.failure_reason}\n"))
                sys.stderr.flush()
            finally:  # even if nothing can be written any more, as on a full disk
                os._exit(EXIT_CODE)

    def _announce(self, event: str, timeout_s: float) -> None:
        """Announces that this process ends; process 0, which hosts the store, waits for the others to do so too."""
        try:
            self._store.set(f"{event}/{self._spec.rank}", "")
            keys = [f"{event}/{rank}" for rank in self._alive()]
            until = time.monotonic() + timeout_s
            while self._spec.rank == 0 and not self._store.check(keys) and time.monotonic() < until:
                time.sleep(0.02)
        except RuntimeError as error:
            logger.debug("the store is gone: %s", error)


def is_echo(error: BaseException) -> bool:
    """Whether an error looks like a consequence of the end of another process."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(phrase in text for phrase in _ECHOES)
    )


def where(thread: int) -> str:
    """Returns the innermost line of this package that a thread is in, and what it called there."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "its end"
    inner = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_name}"
    while frame is not None and "stica_pv" not in frame.f_globals.get("__name__", ""):
        frame = frame.f_back
    if frame is None:
        return inner
    own = f"{frame.f_globals['__name__']}:{frame.f_lineno} {frame.f_code.co_name}"
    return own if own.endswith(inner.partition(":")[2]) else f"{own}, {inner}"


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
