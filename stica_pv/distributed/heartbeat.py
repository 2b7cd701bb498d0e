"""Heartbeat of this process: when it last made progress, to distinguish a slow process from one that hangs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Heartbeat:
    """Progress of this process.

    Attributes:
        step: Number of training steps done.
    """

    def __init__(self) -> None:
        self.step = 0
        self._since: float | None = None

    def record(self, step: int | None = None) -> None:
        """Records progress, and that more is expected."""
        self.step = self.step if step is None else step
        self._since = time.monotonic()

    def pause(self) -> None:
        """Expects nothing until the next `record`: what follows may take any time."""
        self._since = None

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Expects progress while this is entered."""
        self.record()
        try:
            yield
        finally:
            self.pause()

    def idle_s(self) -> float:
        """Returns the seconds since the last `record`; 0 while nothing is expected."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


HEARTBEAT = Heartbeat()
