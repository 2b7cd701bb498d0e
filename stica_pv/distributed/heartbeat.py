"""When this process last got on with its work: what a watcher looks at to tell a slow process from one that hangs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Heartbeat:
    """Progress of this process.

    Attributes:
        step: Training steps done.
    """

    def __init__(self) -> None:
        self.step = 0
        self._since: float | None = None

    def record(self, step: int | None = None) -> None:
        """Notes progress, and that more is expected."""
        self.step = self.step if step is None else step
        self._since = time.monotonic()

    def pause(self) -> None:
        """Expects nothing until the next beat: what follows may take any time."""
        self._since = None

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Expects beats for as long as this is entered."""
        self.record()
        try:
            yield
        finally:
            self.pause()

    def idle_s(self) -> float:
        """Seconds since the last beat; 0 while nothing is expected."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


HEARTBEAT = Heartbeat()
