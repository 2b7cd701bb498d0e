"""Progress of long work: a bar on a terminal, otherwise lines in the log every few seconds."""

import datetime
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from tqdm.std import tqdm

from stica_pv.terminal import OPEN_BARS, columns_of, log_is_on_terminal

logger = logging.getLogger(__name__)

BAR_DELAY_S = 1.0  # shorter work shows no bar
BAR_PERIOD_S = 0.5
LINE_PERIOD_S = 10.0
SLOW_LINE_PERIOD_S = 60.0  # while less than 1 % is done between two lines
SHOWN_BY_BAR = {"shown_by_bar": True}
"""`extra` of log records about progress: a terminal that shows a bar leaves them out."""


class Progress:
    """Shows how much of some work is done while it is entered.

    On a terminal it is a bar on stderr, provided that the log of this process goes to a terminal too (terminal.py).
    The bar of inner work hides that of the outer work. At the end the bar disappears; an error leaves it as a
    line. Log files, and logs that go elsewhere, get a line every 10 seconds or more, and one at the end of work that
    took so long.

    Args:
        what: Name of the work, as in "headers".
        total: Number of units to do.
        unit: Name of the units, in the plural.
        initial: Number of units that are already done.
        shown: Whether this process shows anything; False on all processes but the main one.
        lines: Whether to log lines; False if the caller logs its own.
        delay_s: Time before the bar appears; 0 for work of few, long units.
        clock: Returns the time of the lines in seconds.
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        unit: str = "files",
        initial: int = 0,
        shown: bool = True,
        lines: bool = True,
        delay_s: float = BAR_DELAY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._unit, self._initial = what, total, unit, initial
        self._shown, self._lines, self._delay_s, self._clock = shown, shown and lines, delay_s, clock
        self._done = self._logged = initial
        self._bar: _Bar | None = None
        self._begin_s = self._logged_s = clock()

    def __enter__(self) -> "Progress":
        if self._shown and log_is_on_terminal():
            for bar in OPEN_BARS[-1:]:
                bar.hide()
            self._bar = _Bar.open(self._what, self._total, self._unit, self._initial, self._delay_s)
        return self

    def add(self, count: int = 1) -> None:
        """Adds finished units."""
        count = min(count, self._total - self._done)
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        if self._lines:
            self._log_if_due()

    def note(self, text: str) -> None:
        """Sets the text behind the bar, shown when the bar is next drawn."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.end(stays=kind is not None)
        seconds = self._clock() - self._begin_s
        if kind is None and self._lines and seconds >= LINE_PERIOD_S:
            made = self._done - self._initial
            text = "%s: %d %s in %s, %.1f %s/s"
            logger.info(text, self._what, made, self._unit, _duration(seconds), made / seconds, self._unit)

    def _log_if_due(self) -> None:
        now = self._clock()
        slow = (self._done - self._logged) * 100 < self._total
        if now - self._logged_s < (SLOW_LINE_PERIOD_S if slow else LINE_PERIOD_S) or self._done == self._total:
            return
        self._logged, self._logged_s = self._done, now
        rate = (self._done - self._initial) / max(now - self._begin_s, 1e-9)
        logger.info(
            "%s: %d of %d %s (%.0f%%), %.1f %s/s, %s left",
            *(self._what, self._done, self._total, self._unit, 100 * self._done / self._total, rate, self._unit),
            _duration((self._total - self._done) / max(rate, 1e-9)),
            extra=SHOWN_BY_BAR,
        )


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(min(seconds, 1e9))))


class _Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """One bar on stderr, drawn in the thread that does the work."""

    monitor_interval = 0  # no thread: processes are forked while bars are shown
    _drawn = False
    _owner = 0

    @classmethod
    def open(cls, what: str, total: int, unit: str, initial: int, delay_s: float) -> "_Bar":
        """Returns a new bar, the innermost one."""
        bar = cls(
            desc=what, total=total, unit=f" {unit}", initial=initial, file=sys.stderr, position=0, leave=False,
            ncols=80, nrows=20, miniters=1, mininterval=BAR_PERIOD_S, delay=delay_s,
        )  # fmt: skip
        bar._owner = os.getpid()
        OPEN_BARS.append(bar)
        return bar

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draws the bar in the present width of the terminal; returns whether it has a line there."""
        self.ncols = columns_of(sys.stderr)
        self._drawn = True
        return bool(super().display(msg, pos))

    def hide(self) -> None:
        """Clears the line until the bar is next drawn."""
        if self._drawn:
            self.clear()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Clears the line while something else is written."""
        with self.get_lock():
            self.hide()
            yield
            if self._drawn and self._owner == os.getpid():  # a forked worker leaves it to its parent
                self.refresh()

    def end(self, *, stays: bool) -> None:
        """Removes the bar, or leaves it as a whole line."""
        OPEN_BARS.remove(self)
        self.leave = stays
        self.close()


def _new_lock() -> None:
    _Bar.set_lock(threading.RLock())  # tqdm's own one starts a process where processes are spawned


_new_lock()
os.register_at_fork(after_in_child=_new_lock)
