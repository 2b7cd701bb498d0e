"""Signals to a run. Handlers only record a request; the loop reads it after each step, and all processes agree."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from enum import IntEnum
from types import FrameType
from typing import Any

from stica_pv.errors import SignalReceived


class SignalRequest(IntEnum):
    """A request to a run; the larger one takes precedence."""

    NONE = 0
    SAVE = 1  # save, and continue until killed
    STOP = 2  # save and end
    REQUEUE = 3  # save, end, and restart elsewhere


# A closed terminal sends HUP.
AT_A_TERMINAL: Mapping[int, SignalRequest] = {
    signal.SIGINT: SignalRequest.STOP,
    signal.SIGTERM: SignalRequest.STOP,
    signal.SIGHUP: SignalRequest.STOP,
}
# Slurm sends USR2, as requested, before it preempts a job, and TERM before a kill that may not follow.
ON_A_CLUSTER: Mapping[int, SignalRequest] = {
    signal.SIGINT: SignalRequest.STOP,
    signal.SIGHUP: SignalRequest.STOP,
    signal.SIGTERM: SignalRequest.SAVE,
    signal.SIGUSR2: SignalRequest.REQUEUE,
}


class Interrupted(BaseException):
    """A requeue was requested outside the steps, where there is nothing to save: the run ends at once.

    Not an `Exception`, so that code that reports a broken file does not catch it.
    """


class Signals:
    """While entered, records signals within the steps; a second SIGINT, or one outside the steps, ends at once.

    Attributes:
        request: Request to this process.
        number: Number of its signal, to this process or another; 0 if there was none.
        agreed: Request that the processes agreed on last.
    """

    def __init__(self, answers: Mapping[int, SignalRequest]) -> None:
        self.request = self.agreed = SignalRequest.NONE
        self.number = 0
        self._answers = answers
        self._previous: dict[int, Any] = {}
        self._pid = os.getpid()
        self._in_steps = self._interrupted = self._raised = False

    def __enter__(self) -> "Signals":
        _entered.append(self)
        if threading.current_thread() is threading.main_thread():  # elsewhere Python refuses handlers
            for number in self._answers:
                if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # set by nohup
                self._previous[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # a worker that was just forked still has these handlers
        if number == signal.SIGINT and (self._interrupted or not self._in_steps):
            self._raised = True
            raise SignalReceived(number)
        self._interrupted = number == signal.SIGINT or self._interrupted
        if self._answers[number] > self.request:
            self.request, self.number = self._answers[number], int(number)
        if not self._in_steps:
            self.end_if_asked()

    def answer(self, agreed: int, number: int = 0) -> SignalRequest:
        """Stores and returns the agreed request and its signal; a request to save is thereby done."""
        self.agreed, self.number = SignalRequest(agreed), number or self.number
        if self.request is SignalRequest.SAVE and self.agreed is SignalRequest.SAVE:
            self.request = SignalRequest.NONE
        return self.agreed

    def end_if_asked(self) -> None:
        """Ends the run at once if an end was requested and not yet agreed on; does so only once.

        Raises:
            Interrupted: A requeue was requested.
            SignalReceived: An end was requested.
        """
        if self.request < SignalRequest.STOP or self.agreed >= SignalRequest.STOP or self._raised:
            return
        self._raised = True  # further signals do not disturb the cleanup
        raise Interrupted if self.request is SignalRequest.REQUEUE else SignalReceived(self.number)

    @contextmanager
    def in_steps(self) -> Iterator["Signals"]:
        """Defers signals to `answer` while entered."""
        self._in_steps = True
        try:
            yield self
        finally:
            self._in_steps = False
        self.end_if_asked()

    def __exit__(self, *exception: object) -> None:
        _entered.remove(self)
        for number, handler in self._previous.items():
            signal.signal(number, handler)


_entered: list[Signals] = []


def requeue_asked() -> bool:
    """Whether the process that started the run got a request to requeue it."""
    return any(signals.request is SignalRequest.REQUEUE for signals in _entered)


def stopping_signal() -> int:
    """Returns the signal that stopped the run, for the exit code."""
    return next((signals.number for signals in reversed(_entered) if signals.number), signal.SIGINT)


@contextmanager
def signals_of_run() -> Iterator[Signals]:
    """Yields the signals already entered by the launcher; otherwise enters those of a terminal."""
    with nullcontext(_entered[-1]) if _entered else Signals(AT_A_TERMINAL) as signals:
        yield signals


@contextmanager
def signals_in_steps() -> Iterator[Signals]:
    """Enters the steps with the signals of the run."""
    with signals_of_run() as signals, signals.in_steps():
        yield signals
