"""Functions that run in a worker process, so that a decoder that hangs or crashes affects a single file."""

import sys
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from torch.utils.data import get_worker_info

from stica_pv.data.isolation.worker_process import WorkerFailure, WorkerProcess

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_in_worker = False  # whether this process is a worker of our loader; torch has its own flag


class Isolated(Generic[Arguments, Result]):
    """A function whose calls run in a separate process (Linux only), with a time limit.

    If the process dies, a new one repeats the call, because the cause may be external, e.g. lack of memory. If that one
    dies too, or the process hangs, the call returns a `WorkerFailure`.
    """

    def __init__(self, function: Callable[Arguments, Result], *, timeout_s: float) -> None:
        """Take the function; the process starts with the first call.

        Args:
            function: Function to isolate; its arguments and results are pickled, and tensors keep their memory layout.
            timeout_s: Time limit per call in seconds; 0 for none, crashes are then still noticed.
        """
        self._function, self._timeout_s = function, timeout_s
        self._process: WorkerProcess | None = None

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | WorkerFailure:
        """Return the result of the function; its exceptions are raised here."""
        result = self._ask((args, kwargs))
        if isinstance(result, WorkerFailure) and result.may_be_retried:
            result = self._ask((args, kwargs))
        return result

    def _ask(self, request: tuple[Any, Any]) -> Result | WorkerFailure:
        if self._process is None:
            self._process = WorkerProcess(self._answer, self._timeout_s)
        self._process.ask(request)
        result: Result | WorkerFailure
        (result,) = self._process.receive()
        if isinstance(result, WorkerFailure):
            self._process = None
        return result

    def _answer(self, request: tuple[Any, Any]) -> Result:
        args, kwargs = request
        return self._function(*args, **kwargs)


def begin_worker() -> None:
    """Note that this process is a worker of our loader."""
    global _in_worker
    _in_worker = True


def isolates() -> bool:
    """Return whether samples are made in a separate process here: in a loader worker, on Linux."""
    return (_in_worker or get_worker_info() is not None) and sys.platform == "linux"
