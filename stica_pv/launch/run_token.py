"""The token of a run: random, and known to its processes alone. It is part of every key that they use in their store.

A stranger who reaches the port of the store can then name no key of the run, as to end it with a message of its own.
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

NAME = ".token"
PAUSE_S = 0.1


def write_token(path: Path, token: str) -> None:
    """Writes a token that only its owner can read, in one piece."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(token)
    partial.replace(path)


@contextlib.contextmanager
def token_of(place: ProcessSpec, store: dist.Store, folder: Path, deadline: float) -> Iterator[str]:
    """Gives the token of a run: the one of the place, or one that process 0 hands out in the run's folder.

    While this is entered, process 0 keeps the file there; the others read it. Folders that it made for that go with it.

    Args:
        place: Of this process.
        store: Takes a digest of the token, so that nobody reads the file of an earlier attempt.
        folder: OUTPUT_DIR, which all machines share.
        deadline: Until when to wait, by `time.monotonic`.

    Raises:
        RunFailed: The token could not be written, or was not found in time.
    """
    if place.token:
        yield place.token
    elif place.rank == 0:
        with _handed_out(folder / NAME) as token:
            store.set("token", _digest(token))
            yield token
    else:
        yield _read(folder / NAME, place, store, deadline)


@contextlib.contextmanager
def _handed_out(path: Path) -> Iterator[str]:
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
        with contextlib.suppress(OSError):  # somebody has put something into it
            for folder in made:
                folder.rmdir()


def _read(path: Path, place: ProcessSpec, store: dist.Store, deadline: float) -> str:
    who = f"process {place.rank} of {place.world_size}"
    try:
        store.wait(["token"], timedelta(seconds=max(1.0, deadline - time.monotonic())))
        wanted = store.get("token").decode()
    except RuntimeError as error:
        raise RunFailed(f"process 0 gave {who} no word in time, or has ended") from error
    while True:
        with contextlib.suppress(FileNotFoundError):
            token = path.read_text(encoding="utf-8")
            if _digest(token) == wanted:
                return token
        if time.monotonic() > deadline:
            raise RunFailed(
                f"{who} does not find {path}, which process 0 has written: OUTPUT_DIR must be one folder that all "
                "machines share"
            )
        time.sleep(PAUSE_S)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
