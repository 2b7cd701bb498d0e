"""Watches the processes of a run, so that one that dies or hangs ends the others soon, with its number and reason.

Collective operations tell too little: they wait for ever (NCCL), or say "connection closed" of a neighbor that is
itself a victim. Each process therefore gives signs of life through the store where the run met; process 0 judges them.
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
from stica_pv.launch.rendezvous import VERDICT

logger = logging.getLogger(__name__)

BEAT_S = 1.0
LAST_WORD_S = 20.0  # for the main thread to end by itself, once it is known that the run is over
EXIT_CODE = 5
# Words of the errors that a collective operation raises when another process has left.
_ECHOES = ("gloo", "nccl", "connection", "peer", "socket", "broken pipe", "tcpstore", "work ran")


@dataclass(frozen=True)
class Limits:
    """How long a process may be silent, and how long a training step (or, at first, connecting) may last, in s."""

    silence_s: float
    hang_s: float
    connect_s: float


class Peers:
    """While entered, watches. Used by one process for itself and, on process 0, for all.

    Attributes:
        verdict: Why the run is over; "" while it is not.
    """

    def __init__(
        self, store: dist.Store, place: ProcessSpec, limits: Limits, on_verdict: Callable[[str], None]
    ) -> None:
        self.verdict = ""
        self._store, self._place, self._limits, self._on_verdict = store, place, limits, on_verdict
        self._hang_s = limits.connect_s
        self._main = threading.current_thread().ident or 0
        self._over, self._told = threading.Event(), threading.Event()
        self._heard_at = time.monotonic()
        self._signs: dict[int, tuple[str, float]] = {}
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._talk, self._judge)]

    def __enter__(self) -> "Peers":
        for thread in self._threads:
            thread.start()
        return self

    def connected(self) -> None:
        """Ends the time in which connecting counts as a step."""
        self._hang_s = self._limits.hang_s
        HEARTBEAT.rest()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind in (None, RunStopped) and not self.verdict:
            self._part("leave", self._limits.silence_s)
        elif self.verdict:
            # A store that is kept by somebody else stays, and one that was killed will never say that it has heard.
            self._part("heard", 0.0 if self._place.hosted else LAST_WORD_S / 2)
        self._over.set()

    def tell(self, reason: str) -> str:
        """Tells all processes that this one fails; returns the reason that came first, perhaps another's."""
        text = f"process {self._place.rank} of {self._place.world_size} on {socket.gethostname()}: {reason}"
        try:
            first: str = self._store.compare_set(VERDICT, "", text).decode()
        except RuntimeError:  # the store went with process 0
            first = text
        self._take(first)
        return first

    def explain(self, error: BaseException) -> str:
        """Returns why the run is over, where `error` may be the echo of another process' end."""
        if not is_echo(error):
            return self.tell(_in_one_line(error))
        if not self._told.wait(self._limits.silence_s + 3 * BEAT_S):
            return self.tell(_in_one_line(error))
        return self.verdict

    def _talk(self) -> None:
        own = f"sign/{self._place.rank}"
        while not self._over.wait(BEAT_S):
            sign = [round(HEARTBEAT.idle_s(), 1), HEARTBEAT.step, socket.gethostname(), where(self._main)]
            try:
                self._store.set(own, json.dumps([time.monotonic(), *sign]))
                if self._store.check([VERDICT]):
                    self._take(self._store.get(VERDICT).decode())
                    self._store.set(f"heard/{self._place.rank}", "")
                elif self._place.rank == 0:
                    self.look_at_all()
            except RuntimeError as error:
                if not self._over.is_set():
                    self._take(f"process 0 has ended: its store does not answer ({_in_one_line(error)[:100]})")
                return
            self._heard_at = time.monotonic()

    def look_at_all(self) -> None:
        """Finds, on process 0, those that give no sign, and the step that lasts too long."""
        now, hung = time.monotonic(), False
        for rank in range(self._place.world_size):
            key = f"sign/{rank}"
            text = self._store.get(key).decode() if self._store.check([key]) else ""
            if text != self._signs.get(rank, ("\n", 0.0))[0]:
                self._signs[rank] = text, now
            hung = hung or bool(text) and json.loads(text)[1] > self._hang_s
        silent = sorted(set(range(self._place.world_size)) - set(self._alive()))
        dead = [rank for rank in silent if not self._store.check([f"leave/{rank}"])]
        if dead:
            text = self._signs[dead[0]][0]
            host, step = (json.loads(text)[3], json.loads(text)[2]) if text else ("an unknown host", 0)
            self._declare(
                f"process {dead[0]} of {self._place.world_size} on {host} has given no sign of life for "
                f"{self._limits.silence_s:.0f} s, the last in step {step}: it was killed, or its machine is gone"
            )
        elif hung:
            self._declare(f"no step was finished for {self._hang_s:.0f} s; {self._places()}")

    def _alive(self) -> list[int]:
        """Processes that gave a sign lately, as far as this one knows; or that it has not yet looked at."""
        since = time.monotonic() - self._limits.silence_s
        return [rank for rank in range(self._place.world_size) if self._signs.get(rank, ("", since))[1] >= since]

    def _places(self) -> str:
        """Where each process is, those that stand alone first: the others wait for them."""
        at: dict[str, list[int]] = {}
        for rank, (text, _) in self._signs.items():
            sign = json.loads(text)
            at.setdefault(f"step {sign[2]}, {sign[4]}", []).append(rank)
        few_first = sorted(at.items(), key=lambda pair: len(pair[1]))
        return "; ".join(f"process {', '.join(map(str, ranks[:8]))} in {what}" for what, ranks in few_first)

    def _declare(self, verdict: str) -> None:
        self._take(self._store.compare_set(VERDICT, "", verdict).decode())

    def _take(self, verdict: str) -> None:
        if not self._told.is_set():
            self.verdict = verdict
            self._told.set()

    def _judge(self) -> None:
        """Ends this process when the run is over and the main thread does not notice, caught in an operation."""
        silence_s = self._limits.silence_s + 5 * BEAT_S  # process 0 is to speak first
        while not self._over.wait(BEAT_S) and not self._told.is_set():
            if time.monotonic() - self._heard_at > silence_s:
                self._take(f"process 0 has given no sign of life for {silence_s:.0f} s")
        if self._told.is_set() and not self._over.wait(LAST_WORD_S):
            try:
                logger.critical("%s; this process ends", self.verdict)
                self._on_verdict(self.verdict)
                sys.stderr.write(f"failed: {self.verdict}\n")
                sys.stderr.flush()
            finally:  # whatever cannot be said any more, as on a full disk
                os._exit(EXIT_CODE)

    def _part(self, word: str, patience_s: float) -> None:
        """Says that this process ends; process 0, whose store they need, waits for the others to say so too."""
        try:
            self._store.set(f"{word}/{self._place.rank}", "")
            keys = [f"{word}/{rank}" for rank in self._alive()]
            until = time.monotonic() + patience_s
            while self._place.rank == 0 and not self._store.check(keys) and time.monotonic() < until:
                time.sleep(0.02)
        except RuntimeError as error:
            logger.debug("the store is gone: %s", error)


def is_echo(error: BaseException) -> bool:
    """Whether an error reads like one that the end of another process causes."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in _ECHOES)
    )


def where(thread: int) -> str:
    """The innermost line of this package that a thread is in, with what it called there."""
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
