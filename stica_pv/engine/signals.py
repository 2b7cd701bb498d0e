"""A polite end: Ctrl-C and SIGTERM ask the loop to save and stop after the current step."""

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """While entered, notes SIGINT and SIGTERM; a second SIGINT ends at once.

    Attributes:
        requested: Whether a signal came.
    """

    def __init__(self) -> None:
        self.requested = False
        self._interrupted = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python refuses handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        # A SIGTERM before does not count: started processes get a SIGINT besides when the one that started them ends.
        self._interrupted = number == signal.SIGINT or self._interrupted
        self.requested = True

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
