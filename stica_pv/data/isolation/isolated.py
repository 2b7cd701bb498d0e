"""Functions that run in a worker process, so that a decoder that hangs or crashes affects a single file."""

import sys
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from torch.utils.data import get_worker_info

from stica_pv.data.isolation.worker_process import WorkerFailure, WorkerProcess
from stica_pv.errors import UsageError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_in_worker = False  # whether this process is a worker of our loader; torch has its own flag


class Isolated(Generic[Arguments, Result]):
    """A function whose calls in a loader worker run in a separate process of that worker, with a time limit.

    If the process dies, a new one repeats the call, because the cause may be external, e.g. lack of memory. If that one
    dies too, or the process hangs, the call returns a `WorkerFailure`. Outside of workers (``NUM_WORKERS`` 0), and on
    systems other than Linux, the function is called directly, without protection.
    """

    def __init__(self, function: Callable[Arguments, Result], *, timeout_s: float) -> None:
        """Take the function.

        Args:
            function: Its arguments and results are pickled; tensors keep their memory layout.
            timeout_s: Time limit per call in seconds; 0 for none, crashes are then still noticed.
        """
        if timeout_s < 0:
            raise UsageError(f"DATA.READ_TIMEOUT_SECONDS must be >= 0, got {timeout_s}")
        self.function, self.timeout_s = function, timeout_s
        self._process: WorkerProcess | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | WorkerFailure:
        """Return the result of the function; its exceptions are raised here."""
        if not _isolates():
            return self.function(*args, **kwargs)
        result = self._ask((args, kwargs))
        if isinstance(result, WorkerFailure) and result.may_be_retried:
            result = self._ask((args, kwargs))
        return result

    def _ask(self, request: tuple[Any, Any]) -> Result | WorkerFailure:
        if self._process is None:
            self._process = WorkerProcess(self._answer, self.timeout_s)
        self._process.ask(request)
        result: Result | WorkerFailure
        (result,) = self._process.receive()
        if isinstance(result, WorkerFailure):
            self._process = None
        return result

    def _answer(self, request: tuple[Any, Any]) -> Result:
        args, kwargs = request
        return self.function(*args, **kwargs)


def begin_worker() -> None:
    """Note that this process is a worker of our loader."""
    global _in_worker
    _in_worker = True


def _isolates() -> bool:
    return (_in_worker or get_worker_info() is not None) and sys.platform == "linux"
