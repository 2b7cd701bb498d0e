"""Errors for the user: a wrong request, an unusable file, a run that stopped or failed."""

import difflib
import signal
from collections.abc import Iterable

from stica_pv.safe_text import printable


class UsageError(ValueError):
    """A wrong request; the message says what was given, what was expected and what to do.

    The command line prints it as one line and exits with code 2. It is a `ValueError`, as a library user expects who
    builds a module with impossible numbers.
    """


class UnreadableClip(Exception):  # noqa: N818 - it names the state of a file, as in the data contract
    """A media file cannot be decoded as requested.

    Attributes:
        path: The file.
        cause: Cause, such that a user who inspects the file would agree.
    """

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(printable(f"{path}: {cause}"))
        self.path = path
        self.cause = cause

    def __reduce__(self) -> tuple[type["UnreadableClip"], tuple[str, str]]:
        # Decoding processes send it to loader workers; the default would call __init__ with the message alone.
        return type(self), (self.path, self.cause)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ``" (did you mean X?)"`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def check_choice(key: str, value: str, choices: Iterable[str]) -> str:
    """Returns `value` if it is one of `choices`; otherwise raises a `UsageError` that lists them."""
    known = list(choices)
    if value not in known:
        raise UsageError(f"{key}: got {value!r}{nearest(value, known)}; expected one of {', '.join(known)}")
    return value


class RunStopped(Exception):  # noqa: N818 - it names what happened
    """A signal stopped a run early, after it saved a checkpoint. The exit code is 128 plus the number of the signal.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = int(number)


class SignalReceived(KeyboardInterrupt):
    """A signal ends a command outside of training, as Ctrl-C does. The exit code is 128 plus its number.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = int(number)


class RunFailed(Exception):  # noqa: N818 - it names what happened
    """A run cannot continue; the message says at which step and why. The command line exits with code 1."""


class PeerFailed(RunFailed):
    """Another process of the run failed, which ends this one; the message says which and why."""


class LoaderFailed(RunFailed):
    """The loader cannot return the next batch: its code raised an error, or one of its workers ended."""
