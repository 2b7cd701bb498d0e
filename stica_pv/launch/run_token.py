"""The token of a run: random, known only to its processes, and part of every key that they use in their store.

A stranger who reaches the port of the store then cannot name a key of the run, for example to end it.
"""

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from stica_pv.errors import RunFailed
from stica_pv.launch.process_spec import ProcessSpec
from stica_pv.partial_file import partial_file

NAME = ".token"
PAUSE_S = 0.1


def write_token(path: Path, token: str) -> None:
    """Writes a token atomically, readable only by its owner."""
    with partial_file(path) as partial:
        partial.unlink(missing_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(token)


@contextlib.contextmanager
def token_of(spec: ProcessSpec, store: dist.Store, folder: Path, deadline: float) -> Iterator[str]:
    """Yields the token of a run: that of the spec, or one that process 0 writes to the folder of the run.

    While this is entered, process 0 keeps the file and the others read it. At the end it removes the file, and folders
    that it made for it.

    Args:
        spec: This process.
        store: Holds a digest of the token, so that no process takes the file of an earlier attempt.
        folder: OUTPUT_DIR, which all machines share.
        deadline: End of the wait, by `time.monotonic`.

    Raises:
        RunFailed: The token could not be written, or was not found in time.
    """
    if spec.token:
        yield spec.token
    elif spec.rank == 0:
        with _published(folder / NAME) as token:
            store.set("token", _digest(token))
            yield token
    else:
        yield _read(folder / NAME, spec, store, deadline)


@contextlib.contextmanager
def _published(path: Path) -> Iterator[str]:
    token = secrets.token_hex(16)
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_token(path, token)
    except OSError as error:
        raise RunFailed(f"{path}, which the processes of the run need, cannot be written: {error.strerror}") from error
    try:
        yield token
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another process has written into it
            for folder in made:
                folder.rmdir()


def _read(path: Path, spec: ProcessSpec, store: dist.Store, deadline: float) -> str:
    who = f"process {spec.rank} of {spec.world_size}"
    try:
        store.wait(["token"], timedelta(seconds=max(1.0, deadline - time.monotonic())))
        wanted = store.get("token").decode()
    except RuntimeError as error:
        raise RunFailed(f"process 0 did not answer {who} in time, or has ended") from error
    while True:
        with contextlib.suppress(FileNotFoundError):
            token = path.read_text(encoding="utf-8")
            if _digest(token) == wanted:
                return token
        if time.monotonic() > deadline:
            raise RunFailed(
                f"{who} does not find {path}, which process 0 wrote: OUTPUT_DIR must be one folder that all "
                "machines share"
            )
        time.sleep(PAUSE_S)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
