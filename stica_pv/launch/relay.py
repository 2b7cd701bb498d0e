"""Forwards the signals that end a command to the processes that it started."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalRelay:
    """While entered, forwards SIGINT, SIGTERM and SIGHUP as SIGTERM: the processes save and end. A second SIGINT kills.

    A terminal sends Ctrl-C to all processes itself. They must ignore that, so that one Ctrl-C does not reach them twice
    and end them at once.

    Attributes:
        number: Number of the first signal received; 0 if there was none.
    """

    def __init__(self, send: Callable[[int], None]) -> None:
        """Stores the callback.

        Args:
            send: Sends a signal to every started process that is alive.
        """
        self.number = 0
        self._send = send
        self._interrupted = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "SignalRelay":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python refuses handlers
            for number in ENDING:
                if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # set by nohup
                self._previous[number] = signal.signal(number, self._forward)
        return self

    def _forward(self, number: int, frame: FrameType | None) -> None:
        again = self._interrupted and number == signal.SIGINT
        self._interrupted = self._interrupted or number == signal.SIGINT
        self.number = self.number or int(number)
        self._send(signal.SIGKILL if again else signal.SIGTERM)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
