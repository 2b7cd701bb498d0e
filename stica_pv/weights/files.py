"""Files of weights: reads and writes them without running code, and finds the weights in nested dictionaries."""

import hashlib
import os
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.partial_file import partial_file
from stica_pv.weights.inert import Inert, left_out_of, load_inert

# Keys under which training programs store their weights: GDT and torchvision's references, SlowFast and pytorchvideo.
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
# Prefixes that wrappers of a network add to every name: DataParallel, SlowFast's pytorchvideo models, torch.compile.
PREFIXES = ("module.", "model.", "_orig_mod.")
ARCHIVE = b"PK\x03\x04"  # first bytes of torch's own files
PICKLE = b"\x80"  # first byte of a plain pickle, such as Caffe2's; torch's own files are archives
NO_SAFETENSORS = "safetensors is not installed: pip install -c constraints.txt -e '.[export]'"
_IS_FOLDER = 0x10  # among the attributes of an entry
_GLOBAL = re.compile(r"GLOBAL (\S+)")
_WRITER = "inline_container"  # torch's source of archives, which it names in its errors


@dataclass(frozen=True)
class WeightsFile:
    """Tensors of a file by name.

    Attributes:
        path: The file.
        tensors: The weights; common prefixes of wrappers are dropped, unless the caller keeps them.
        about: Other content of the file, such as an epoch.
        sha256: Hash of the file.
        skipped: Entries with objects of a program, with their classes; none of these was built.
    """

    path: str
    tensors: dict[str, Tensor]
    about: dict[str, Any]
    sha256: str
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path} ({len(self.tensors)} tensors)"


def read_weights(path: str | os.PathLike[str], *, strip: bool = True) -> WeightsFile:
    """Reads a ``.safetensors`` file, or one of `torch.save`, and keeps only tensors and plain types.

    Args:
        path: The file.
        strip: Whether to drop the prefix that a wrapper of a whole network added to all names.

    Raises:
        UsageError: The file is missing, broken, or holds no weights.
    """
    path = str(path)
    if not Path(path).is_file():
        raise UsageError(f"{path}: there is no such file")
    content, about, skipped = _read_safetensors(path) if path.endswith(".safetensors") else _read_torch(path)
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UsageError(
            f"{path} holds no weights: expected tensors by name, at the top or under one of {', '.join(WRAPPERS)}; "
            f"found {', '.join(sorted(map(str, content))[:8]) or 'nothing'}"
            + (f"; left out, as only its own program can build it: {', '.join(skipped)}" if skipped else "")
        )
    return WeightsFile(path, _without_prefixes(tensors) if strip else tensors, about, sha256_of(path), skipped)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Returns the hash of the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_existing(path: Path) -> None:
    """Raises if a file exists; nothing is ever overwritten.

    Raises:
        UsageError: The file exists.
    """
    if path.exists():
        raise UsageError(f"{path} exists already: choose another name, or move it away")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a new file atomically.

    Args:
        path: The file; must not exist.
        write: Writes to a given path.

    Raises:
        UsageError: The file exists, the folder cannot be written, or the disk is full.
    """
    refuse_existing(path)
    try:
        with partial_file(path) as partial:
            write(partial)
    except (OSError, RuntimeError) as error:
        if not is_write_error(error):
            raise
        raise UsageError(f"cannot write {path}: {system_message(error)}") from error


def save_torch(content: object, path: Path) -> None:
    """Writes a file of `torch.save`, so that its error on a full disk has that of the system as its cause."""
    with path.open("wb") as file:
        torch.save(content, file)


def is_write_error(error: Exception) -> bool:
    """Whether an error is one of the file system, which torch's writer reports as a RuntimeError."""
    return isinstance(error, OSError) or _WRITER in str(error)


def system_message(error: Exception) -> str:
    """Returns the message of the file system for an error of torch, whose own message is about its archive."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return (str(cause or error).strip().splitlines() or [type(error).__name__])[0][:200]


def load_plain(path: str) -> Any:
    """Reads a file of `torch.save` to the CPU, refusing everything that could run code.

    Raises:
        UsageError: It needs pickle, is damaged, or cannot be read.
    """
    try:
        return _load_tensors(path)
    except Exception as error:  # torch.load raises whatever zip, pickle or the file system raise
        found = _GLOBAL.search(str(error))
        if found or (isinstance(error, UnpicklingError) and Path(path).read_bytes()[:1] == PICKLE):
            raise UsageError(
                f"{path} needs pickle{f' (it holds {found.group(1)})' if found else ''}, which can run any code: "
                "refused; ask for tensors alone, as torch.save(network.state_dict(), file) writes them"
            ) from error
        raise _unreadable(path, error) from error


def _load_foreign(path: str) -> Any:
    """Reads a file of `torch.save` to the CPU; objects of a program become `Inert` ones.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return _load_tensors(path)
    except Exception as error:  # as above
        if not isinstance(error, UnpicklingError) or "TorchScript" in str(error) or tarfile.is_tarfile(path):
            raise _unreadable(path, error) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_inert(path)
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def _load_tensors(path: str) -> Any:
    _check_sums(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about internals of torch; `_unreadable` reports what matters
        return torch.load(path, map_location="cpu", weights_only=True)


def _unreadable(path: str, error: Exception) -> UsageError:
    if "TorchScript" in str(error):
        return UsageError(f"{path} is a TorchScript program, not weights; read it with torch.jit.load")
    if "magic number" in str(error):
        return UsageError(
            f"{path} is a pickle that torch.save did not write, and no weights can be read from it: "
            "write them by torch.save(network.state_dict(), file)"
        )
    return UsageError(
        f"{path} cannot be read ({type(error).__name__}): it is damaged or cut off, or no file of weights"
    )


def _check_sums(path: str) -> None:
    """Compares each entry of an archive with its checksum, which torch does not: a flipped bit would go unnoticed.

    Raises:
        BadZipFile: An entry is damaged.
    """
    with open(path, "rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:  # torch reads it as a plain pickle
            return
    with zipfile.ZipFile(path) as archive:
        if any(entry.external_attr & _IS_FOLDER for entry in archive.infolist()):
            raise zipfile.BadZipFile("an entry is marked as a folder")  # torch would return uninitialized memory
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} does not have its checksum")


def _read_torch(path: str) -> tuple[Mapping[Any, Any], dict[str, Any], tuple[str, ...]]:
    content = _load_foreign(path)
    if isinstance(content, Inert):
        raise UsageError(
            f"{path} holds an object of {content.source}, which only its own program can build: "
            "ask for its tensors, as torch.save(network.state_dict(), file) writes them"
        )
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: expected a dictionary of tensors, got {type(content).__name__}")
    inner = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    about = {
        str(key): value for key, value in content.items() if key != inner and not isinstance(value, Tensor | Inert)
    }
    return (content if inner is None else content[inner]), about, left_out_of(content)


def _read_safetensors(path: str) -> tuple[dict[str, Tensor], dict[str, Any], tuple[str, ...]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UsageError(f"{path}: {NO_SAFETENSORS}") from error
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {}), ()  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is no safetensors file, or it is cut off: {error}") from error


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _without_prefixes({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors
