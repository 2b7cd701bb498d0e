"""Finds the stored optical flow of a video and reads its fields at requested times.

The flow of ``a/b.mp4`` is ``a/b.npz`` (or ``a/b.mp4.npz``) or a folder ``a/b`` of image pairs ``flow_x_00001.jpg``,
``flow_y_00001.jpg``, as the usual tools of two-stream networks write them. Both are uint8, 127.5 for no motion.
"""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from stica_pv.data.decoding.frames import FrameChoice
from stica_pv.data.decoding.media_file import SAME_TIME_S
from stica_pv.data.decoding.tar_entry import tar_entry_of
from stica_pv.errors import UnreadableClip, UsageError

FLOW, TIMES, BOUND = "flow", "times_s", "bound"
"""Names in an npz: flow uint8 (N, 2, H, W); times float64 (N,) of the first frame of each field; and the motion in
pixels that is stored as 255, which training does not need."""

_NEARLY_S = 0.25
"""A field farther from a requested time than this and two steps is not used: the flow ends, or has a gap. Two steps,
because the last frame has no flow and lasts for a step."""

_PAIR = re.compile(r"(?:flow_)?([xy])_?(\d+)\.(?:jpe?g|png)")

Fields = Callable[[Sequence[int]], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class FlowFiles:
    """A folder of stored optical flow.

    Attributes:
        folder: Folder of the flow.
        root: Folder of the videos; flow files have the same relative names.
        fps: Frame rate of image pairs, the first at 0 s; an npz has its own times.
    """

    folder: Path
    root: Path
    fps: float = 0.0

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise UsageError(
                f"DATA.PATH_TO_FLOW_DIR: there is no folder {self.folder}; create it with `stica-pv compute-flow`"
            )

    def read(
        self, path: str, wanted_s: Mapping[str, Sequence[float]], frame_choice: FrameChoice = "nearest"
    ) -> dict[str, Tensor]:
        """Read a field for each requested time, with the same choice as for frames.

        Args:
            path: The video.
            wanted_s: Times on its clock, by name.
            frame_choice: ``previous`` is the last at or before a time, else the nearest (of two the earlier).

        Returns:
            uint8 (2, T, H, W) by name, a view of (T, 2, H, W) memory.

        Raises:
            UnreadableClip: There is no flow of this video, it is shorter, or it cannot be read.
        """
        source = self._find(path)
        try:
            times, fields = self._open_pairs(path, source) if source.is_dir() else _open_npz(path, source)
            chosen = {name: _chosen(path, times, wanted, frame_choice) for name, wanted in wanted_s.items()}
            rows, inverse = np.unique(np.concatenate(list(chosen.values())), return_inverse=True)
            found = torch.from_numpy(fields(rows.tolist()))[torch.from_numpy(inverse)]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise UnreadableClip(path, f"its optical flow {source} cannot be read: {error}") from error
        parts = found.split([len(wanted) for wanted in wanted_s.values()])
        return {name: part.transpose(0, 1) for name, part in zip(wanted_s, parts, strict=True)}

    def _find(self, path: str) -> Path:
        member = tar_entry_of(path)
        name = os.path.relpath(path, self.root) if member is None else member.name
        if name.startswith(".."):
            raise UnreadableClip(path, f"no optical flow: the file is not below {self.root}, see DATA.PATH_PREFIX")
        stem = os.path.splitext(name)[0]
        candidates = [self.folder / candidate for candidate in (f"{name}.npz", f"{stem}.npz", stem)]
        found = next((candidate for candidate in candidates if candidate.exists()), None)
        if found is None:
            raise UnreadableClip(path, f"no optical flow: found neither {candidates[1]} nor a folder {candidates[2]}")
        return found

    def _open_pairs(self, path: str, folder: Path) -> tuple[npt.NDArray[np.float64], Fields]:
        names: dict[str, dict[int, str]] = {"x": {}, "y": {}}
        for name in os.listdir(folder):
            if hit := _PAIR.fullmatch(name):
                names[hit[1]][int(hit[2])] = name
        numbers = sorted(names["x"])
        if not numbers or numbers != sorted(names["y"]) or numbers[-1] - numbers[0] + 1 != len(numbers):
            raise UnreadableClip(path, f"{folder} does not hold pairs flow_x_00001.jpg, flow_y_00001.jpg without gaps")
        if self.fps <= 0:
            raise UnreadableClip(path, "its optical flow is image pairs, which have no times: set DATA.FLOW_FPS")

        def fields(rows: Sequence[int]) -> npt.NDArray[np.uint8]:
            return np.stack([[_plane(folder / names[axis][numbers[row]]) for axis in "xy"] for row in rows])

        return np.arange(len(numbers)) / self.fps, fields


def _plane(file: Path) -> npt.NDArray[np.uint8]:
    """Read uint8 (H, W)."""
    with Image.open(file) as image:
        return np.asarray(image.convert("L"))


def _open_npz(path: str, file: Path) -> tuple[npt.NDArray[np.float64], Fields]:
    with np.load(file, allow_pickle=False) as stored:
        times, flow = stored[TIMES], stored[FLOW]
    if flow.dtype != np.uint8 or flow.ndim != 4 or flow.shape[1] != 2 or times.shape != flow.shape[:1] or not len(flow):
        shapes = f"{FLOW} {flow.dtype}{flow.shape}, {TIMES} {times.shape}"
        raise UnreadableClip(path, f"{file}: expected {FLOW} uint8 (N, 2, H, W) and {TIMES} (N,), got {shapes}")
    if np.any(np.diff(times) <= 0):
        raise UnreadableClip(path, f"{file}: {TIMES} must be increasing")
    return times.astype(np.float64), lambda rows: flow[rows]


def _chosen(
    path: str, times_s: npt.NDArray[np.float64], wanted_s: Sequence[float], frame_choice: FrameChoice
) -> npt.NDArray[np.intp]:
    """Return the number of the field for each requested time."""
    wanted, last = np.asarray(wanted_s), len(times_s) - 1
    before = (np.searchsorted(times_s, wanted + SAME_TIME_S, side="right") - 1).clip(0, last)
    after = (before + 1).clip(0, last)
    nearer = times_s[after] - wanted + SAME_TIME_S < wanted - times_s[before]
    rows = np.where(nearer, after, before) if frame_choice != "previous" else before
    step = float(np.median(np.diff(times_s))) if last else 0.0
    far = np.abs(times_s[rows] - wanted) > max(2 * step, _NEARLY_S)
    if far.any():
        reach = f"from {times_s[0]:.2f} to {times_s[-1]:.2f} s"
        raise UnreadableClip(path, f"its optical flow ({reach}) has nothing near {wanted[far][0]:.2f} s of the video")
    return rows
