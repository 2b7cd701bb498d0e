"""Features on disk, reused as long as weights, data, views and layer are the same."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.partial_file import partial_file

FORMAT = "stica_pv features 1"
DTYPES = {"float32": np.float32, "float16": np.float16}


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
    """A folder of .npz files, named by the hash of the settings that made them.

    Each holds ``features`` float32 or float16 (V, N, D), ``index`` int64 (V,), and ``settings``, a JSON text. Parts of
    one kind of features, ``<name>.<number>.npz`` in order of creation, are joined into ``<name>.npz`` when complete.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder, self._dtype = folder, dtype

    def name(self, settings: Mapping[str, Any]) -> str:
        """Return the file name for some settings."""
        text = json.dumps([FORMAT, self._dtype, settings], sort_keys=True)
        return f"{settings['modality']}_{settings['layer']}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def load(self, name: str) -> Stored | None:
        """Return all parts of some features, None without any; later parts replace earlier ones."""
        parts = [_read(path) for path in self._parts(name)]
        if not parts:
            return None
        rows = {int(i): (part, at) for part, stored in enumerate(parts) for at, i in enumerate(stored.index.tolist())}
        index = sorted(rows)
        features = torch.empty(len(index), *_shape(parts), dtype=torch.float32).fill_(torch.nan)
        for number, stored in enumerate(parts):
            found = [(to, rows[i][1]) for to, i in enumerate(index) if rows[i][0] == number]
            if found and stored.features.shape[1:] == features.shape[1:]:
                to, at = torch.tensor(found).unbind(dim=1)
                features[to] = stored.features[at]
        causes = {i: parts[part].causes[i] for i, (part, _) in rows.items() if i in parts[part].causes}
        return Stored(torch.tensor(index), features, causes)

    def add(self, name: str, settings: Mapping[str, Any], stored: Stored) -> None:
        """Write an additional part."""
        numbers = [int(path.name.split(".")[-2]) for path in self._parts(name) if path != self._whole(name)]
        self._write(self._folder / f"{name}.{max(numbers, default=-1) + 1:08d}.npz", settings, stored)

    def join(self, name: str, settings: Mapping[str, Any]) -> None:
        """Join the parts into one file."""
        whole, parts = self._whole(name), self._parts(name)
        stored = self.load(name)
        if stored is not None and parts != [whole]:
            self._write(whole, settings, stored)
            for path in parts:
                if path != whole:
                    path.unlink()

    def _whole(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def _parts(self, name: str) -> list[Path]:
        whole = self._whole(name)
        return ([whole] if whole.is_file() else []) + sorted(self._folder.glob(f"{name}.*.npz"))

    def _write(self, path: Path, settings: Mapping[str, Any], stored: Stored) -> None:
        write_features(path, stored, {"format": FORMAT, **settings}, dtype=self._dtype)


def write_features(
    path: Path, stored: Stored, settings: Mapping[str, Any], *, dtype: str, more: Mapping[str, Any] | None = None
) -> None:
    """Write an .npz file of ``features``, ``index`` and ``settings`` (JSON, with the causes of unreadable items).

    Args:
        path: Output file, replaced atomically.
        stored: Features.
        settings: Settings that determine the features.
        dtype: ``float32`` or ``float16``.
        more: Further arrays.

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
        raise UsageError(f"features cannot be written to {path}: {error.strerror or error}") from error


def _read(path: Path) -> Stored:
    try:
        with np.load(path, allow_pickle=False) as file:
            features, index, text = file["features"], file["index"], str(file["settings"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is not a complete feature file ({error}): remove it to extract it again") from error
    causes = {int(i): cause for i, cause in json.loads(text)["causes"].items()}
    return Stored(torch.from_numpy(index), torch.from_numpy(features.astype(np.float32)), causes)


def _shape(parts: list[Stored]) -> tuple[int, int]:
    """Return (N, D) of the parts; a part without readable items does not have it."""
    return max((part.features.shape[1], part.features.shape[2]) for part in parts)
