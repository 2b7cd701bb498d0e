"""Features on disk, shared by all runs as long as weights, data, views and layer are the same."""

import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

import stica_pv
from stica_pv.errors import UsageError
from stica_pv.partial_file import partial_file

logger = logging.getLogger(__name__)

FORMAT = f"stica_pv {stica_pv.__version__} features"
LOCK = "in_use.lock"
FOLDER_VARIABLE, LIMIT_VARIABLE = "STICA_PV_FEATURE_CACHE", "STICA_PV_FEATURE_CACHE_GB"
ADVICE = f"; set {FOLDER_VARIABLE} to a folder with free space"
DTYPES = {"float32": np.float32, "float16": np.float16}
_ENTRY = re.compile(r"(video|audio)_[a-z_]+_[0-9a-f]{16}")
_PART = re.compile(r"[0-9a-f]{32}\.npz(\.partial)?")


@dataclass(frozen=True)
class Stored:
    """Features of some items.

    Attributes:
        index: int64 (V,), indices of the items.
        features: float32 (V, N, D); rows of unreadable items are NaN.
        causes: Causes of unreadable items.
    """

    index: Tensor
    features: Tensor
    causes: dict[int, str]


class FeatureStore:
    """Features on disk, shared by all runs of a user: protocols, reports and galleries extract them once.

    An entry is a folder, named by the hash of the settings that determine its features. It holds .npz files with
    ``features`` float32 or float16 (V, N, D), ``index`` int64 (V,), and ``settings``, a JSON text; each is written
    once and never changed, so several processes may read and add at the same time. A damaged file is removed and its
    items are extracted again. `trim` removes the entries that were not used for longest, except those in use by a
    process.
    """

    def __init__(self, folder: Path, dtype: str, *, limit_bytes: int = 10 * 2**30) -> None:
        """Use a folder.

        Args:
            folder: Folder of the entries.
            dtype: ``float32`` or ``float16``, type of new features.
            limit_bytes: Size that `trim` leaves.
        """
        self.folder, self._dtype, self._limit_bytes = folder, dtype, limit_bytes
        self._held: dict[str, IO[bytes]] = {}

    def name(self, settings: Mapping[str, Any]) -> str:
        """Return the name of the entry for some settings."""
        text = json.dumps([FORMAT, self._dtype, settings], sort_keys=True)
        return f"{settings['modality']}_{settings['layer']}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def check(self) -> None:
        """Check that entries can be written.

        Raises:
            UsageError: They cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise _unwritable(self.folder, error, ADVICE) from error

    def load(self, name: str) -> Stored | None:
        """Return all items of an entry, None without any; items that were unreadable at first may be readable later."""
        if not (self.folder / name).is_dir():
            return None
        self._hold(name)
        parts = [part for part in map(_read_or_remove, sorted((self.folder / name).glob("*.npz"))) if part is not None]
        if not parts:
            return None
        rows: dict[int, tuple[int, int]] = {}
        for number, stored in enumerate(parts):
            for at, i in enumerate(stored.index.tolist()):
                if i not in rows or i in parts[rows[i][0]].causes:
                    rows[i] = number, at
        index = sorted(rows)
        features = torch.full((len(index), *_shape(parts)), torch.nan)
        for number, stored in enumerate(parts):
            found = [(row, rows[i][1]) for row, i in enumerate(index) if rows[i][0] == number]
            if found and stored.features.shape[1:] == features.shape[1:]:
                to, of = torch.tensor(found).unbind(dim=1)
                features[to] = stored.features[of]
        causes = {i: parts[part].causes[i] for i, (part, _) in rows.items() if i in parts[part].causes}
        return Stored(torch.tensor(index), features, causes)

    def add(self, name: str, settings: Mapping[str, Any], stored: Stored) -> None:
        """Add items to an entry."""
        self._hold(name)
        path = self.folder / name / f"{uuid.uuid4().hex}.npz"
        write_features(path, stored, {"format": FORMAT, **settings}, dtype=self._dtype, advice=ADVICE)

    def trim(self) -> None:
        """Remove the entries that were not used for longest, until the rest has the size limit; log what was removed.

        Entries in use by this process or another stay, and so do files of others: the user names the folder.
        """
        folders = [path for path in self.folder.glob("*") if _ENTRY.fullmatch(path.name) and path.is_dir()]
        entries = sorted(map(_Entry.of, folders), key=lambda entry: entry.used_s)
        size, removed = sum(entry.size for entry in entries), 0
        for entry in entries:
            if size - removed > self._limit_bytes and _remove_unless_held(entry.path):
                removed += entry.size
        if removed:
            logger.info("removed %.2f GB of features that were not used for longest", removed / 2**30)

    def _hold(self, name: str) -> None:
        """Mark an entry as used now, and as in use until this process ends."""
        path = self.folder / name / LOCK
        try:
            while name not in self._held:
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # another process has just removed the entry: make it again
                    file = path.open("ab")
                    with suppress(OSError):  # a file system without locks: an entry in use may be removed
                        fcntl.flock(file, fcntl.LOCK_SH)
                    if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                        self._held[name] = file
            os.utime(path)
        except OSError as error:
            raise _unwritable(self.folder, error, ADVICE) from error


@dataclass(frozen=True)
class _Entry:
    """An entry with its size in bytes and the time of its last use."""

    path: Path
    size: int
    used_s: float

    @classmethod
    def of(cls, path: Path) -> "_Entry":
        stats = {}
        with suppress(FileNotFoundError):  # removed by another process
            for file in _own_files(path):
                stats[file.name] = file.stat()
        used_s = stats[LOCK].st_mtime if LOCK in stats else 0.0
        return cls(path, sum(stat.st_size for stat in stats.values()), used_s)


def _own_files(path: Path) -> list[Path]:
    """Return the files of an entry that the store wrote, the lock last: without it, another process makes a new one."""
    own = [file for file in path.iterdir() if file.name == LOCK or _PART.fullmatch(file.name)]
    return sorted(own, key=lambda file: file.name == LOCK)


def _remove_unless_held(path: Path) -> bool:
    """Remove an entry; return False if a process uses it, or the file system has no locks."""
    try:
        with (path / LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), (path / LOCK).stat()):
                return False  # it was removed and made again meanwhile
            for part in _own_files(path):
                part.unlink(missing_ok=True)
            path.rmdir()
    except OSError:  # it is in use, a process begins to use it, or it has files of others
        return False
    return True


def feature_store(dtype: str) -> FeatureStore:
    """Return the store of this user, by the environment variables `FOLDER_VARIABLE` and `LIMIT_VARIABLE`.

    Raises:
        UsageError: The size is not a number.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stica_pv" / "features"
    given = os.environ.get(LIMIT_VARIABLE, "10")
    try:
        limit_bytes = int(float(given) * 2**30)
    except (ValueError, OverflowError):
        limit_bytes = -1
    if limit_bytes < 0:
        raise UsageError(f"{LIMIT_VARIABLE}: expected a size in GB, at least 0, got {given!r}")
    return FeatureStore(Path(os.environ.get(FOLDER_VARIABLE) or default), dtype, limit_bytes=limit_bytes)


def write_features(
    path: Path,
    stored: Stored,
    settings: Mapping[str, Any],
    *,
    dtype: str,
    more: Mapping[str, Any] | None = None,
    advice: str = "",
) -> None:
    """Write an .npz file of ``features``, ``index`` and ``settings`` (JSON, with the causes of unreadable items).

    Args:
        path: Output file, replaced atomically.
        stored: Features.
        settings: Settings that determine the features.
        dtype: ``float32`` or ``float16``.
        more: Further arrays.
        advice: End of the message if the file cannot be written.

    Raises:
        UsageError: The file cannot be written.
    """
    with np.errstate(over="ignore"):
        features = stored.features.numpy().astype(DTYPES[dtype])
    if np.isinf(features).any():
        raise UsageError(f"features for {path} are too large for {dtype}: set TEST.FEATURE_DTYPE float32")
    text = json.dumps({**settings, "causes": {str(i): cause for i, cause in stored.causes.items()}})
    try:
        with partial_file(path) as partial, partial.open("wb") as file:
            np.savez(file, features=features, index=stored.index.numpy(), settings=np.array(text), **(more or {}))
    except OSError as error:
        raise _unwritable(path, error, advice) from error


def _unwritable(path: Path, error: OSError, advice: str) -> UsageError:
    return UsageError(f"features cannot be written to {path}: {error.strerror or error}{advice}")


def _read_or_remove(path: Path) -> Stored | None:
    """Read a file of features; remove a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            features, index, text = file["features"], file["index"], str(file["settings"])
        causes = {int(i): cause for i, cause in json.loads(text)["causes"].items()}
        if features.ndim != 3 or index.shape != features.shape[:1] or index.dtype != np.int64:
            raise ValueError(f"features {features.shape} for index {index.shape} of {index.dtype}")
        return Stored(torch.from_numpy(index), torch.from_numpy(features.astype(np.float32)), causes)
    except FileNotFoundError:  # another process found it damaged
        return None
    except OSError as error:
        raise UsageError(f"features cannot be read from {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        logger.warning("%s is damaged (%s): its features are extracted again", path, error)
        path.unlink(missing_ok=True)
        return None


def _shape(parts: list[Stored]) -> tuple[int, int]:
    """Return (N, D) of the parts; a part without readable items does not have it."""
    return max((part.features.shape[1], part.features.shape[2]) for part in parts)
