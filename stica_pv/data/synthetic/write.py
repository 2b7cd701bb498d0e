"""Writes a generated data set as real files: mp4 with audio, lists, and the settings."""

import dataclasses
import json
import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from stica_pv.data.conversion.encoding import encoder_options
from stica_pv.data.isolation.worker_pool import answer_all
from stica_pv.data.isolation.worker_process import WorkerFailure
from stica_pv.data.synthetic.plan import SyntheticSettings
from stica_pv.data.synthetic.render import render_clip
from stica_pv.errors import RunFailed, UsageError
from stica_pv.keyed_random import generator
from stica_pv.progress import Progress
from stica_pv.temporary_folder import temporary_folder

logger = logging.getLogger(__name__)

SETTINGS_FILE = "synthetic.json"
_CLIP_LIMIT_S = 600.0  # a clip takes less than a second; an encoder that hangs must not hold the run
VERSION = 1  # of the rendering; another version means different data


def write_dataset(
    folder: Path, *, clips: dict[str, int], seed: int, settings: SyntheticSettings | None = None, processes: int = 0
) -> bool:
    """Write `clips` files for every split, with ``<split>.csv`` lists of ``path label`` lines, classes in turn.

    Repeating it with the same arguments does nothing. The folder is created atomically: several runs that need the same
    data at the same time each write a temporary folder next to it, and the first to finish renames its own. Existing
    data are never replaced. Temporary folders of killed runs are removed.

    Args:
        folder: Output folder; created if missing.
        clips: Number of clips by split, e.g. ``{"train": 512, "test": 160}``.
        seed: Seed; clips of different splits are never equal.
        settings: Settings of the clips.
        processes: Number of processes that render and encode; 0 for one per core.

    Returns:
        Whether files were written.

    Raises:
        UsageError: The folder holds other data, or cannot be written.
        RunFailed: A process that writes was killed.
    """
    settings = settings or SyntheticSettings()
    record = {"version": VERSION, "clips": clips, "seed": seed, "settings": dataclasses.asdict(settings)}
    text = json.dumps(record, indent=2) + "\n"
    folder = folder.resolve()  # a link stays one
    try:
        if _holds(folder, text):
            return False
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.parent, f".{folder.name}.") as temporary:
            logger.info("generating %d clips in %s", sum(clips.values()), folder)
            fresh = temporary / "fresh"
            _write_all(fresh, clips, seed, settings, processes or os.cpu_count() or 1)
            (fresh / SETTINGS_FILE).write_text(text, encoding="utf-8")
            return _put(fresh, folder, text)
    except OSError as error:  # FFmpeg's own of a full disk is one
        raise UsageError(f"cannot write the generated data {folder}: {error.strerror or error}") from error


def _holds(folder: Path, record: str) -> bool:
    """Whether the data are there; raises `UsageError` if something else is, or a folder that cannot be moved to."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file, expected a folder: choose another DATA.PATH_TO_DATA_DIR")
    names = sorted(os.listdir(folder))
    if not names and folder.is_mount():
        raise UsageError(f"{folder} is where a disk is mounted: set DATA.PATH_TO_DATA_DIR to a folder below it")
    if names and SETTINGS_FILE not in names:
        raise UsageError(
            f"{folder} holds files that are no generated data ({', '.join(names[:3])}): choose another "
            "DATA.PATH_TO_DATA_DIR"
        )
    differing = _differing(folder / SETTINGS_FILE, json.loads(record)) if names else []
    if differing:
        raise UsageError(
            f"{folder} holds generated clips of other settings ({'; '.join(differing)}): choose another "
            "DATA.PATH_TO_DATA_DIR, or remove the folder if nothing reads it"
        )
    return bool(names)


def _differing(path: Path, wanted: dict[str, Any]) -> list[str]:
    """Return the settings in which stored data differ from the requested ones."""
    try:
        found, wanted = _flat(json.loads(path.read_text(encoding="utf-8"))), _flat(wanted)
    except (ValueError, TypeError, KeyError):
        return [f"{SETTINGS_FILE} cannot be read"]
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    return [f"{name} {found.get(name)}, wanted {wanted.get(name)}" for name in names]


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, **record["settings"], "settings": None}


def _write_all(folder: Path, clips: dict[str, int], seed: int, settings: SyntheticSettings, processes: int) -> None:
    with Progress("generated clips", sum(clips.values()), unit="clips") as progress:
        for split, count in clips.items():
            (folder / split).mkdir(parents=True)
            jobs = [(folder, split, number, seed, settings) for number in range(count)]
            lines = [""] * count
            for job, line in answer_all(_write_one, jobs, processes=processes, timeout_s=_CLIP_LIMIT_S):
                if isinstance(line, WorkerFailure):
                    raise RunFailed(f"clip {job[2]} of {folder / split} could not be written: {line.cause}")
                lines[job[2]] = line
                progress.add()
            (folder / f"{split}.csv").write_text("".join(lines), encoding="utf-8")


def _put(fresh: Path, folder: Path, record: str) -> bool:
    """Move `fresh` to `folder`; return False if another run already wrote the same data."""
    try:
        fresh.rename(folder)  # replaces an empty folder, but nothing else
    except OSError:
        if _holds(folder, record):
            return False
        raise
    return True


def _write_one(job: tuple[Path, str, int, int, SyntheticSettings]) -> str:
    folder, split, number, seed, settings = job
    label = number % len(settings.classes)
    frames, waveform = render_clip(label, generator("synthetic", seed, split, number), settings)
    name = f"{split}/{number:05d}.mp4"
    write_clip(folder / name, frames, waveform, fps=settings.fps, audio_rate_hz=settings.audio_rate_hz)
    return f"{name} {label}\n"


def write_clip(path: Path, frames: np.ndarray, waveform: np.ndarray, *, fps: int, audio_rate_hz: int) -> None:
    """Encode one clip as H.264 and AAC.

    Args:
        path: The mp4 file.
        frames: uint8 (T, H, W, 3), even H and W.
        waveform: float32 (S,) in [-1, 1], mono, starting with the first frame.
        fps: Frames per second.
        audio_rate_hz: Samples per second.
    """
    with av.open(str(path), "w") as container:
        options = encoder_options("libx264", {"crf": "20", "preset": "veryfast"})
        video = container.add_stream("libx264", rate=fps, options=options)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1  # with more, bytes depend on cores and load
        audio = container.add_stream("aac", rate=audio_rate_hz, layout="mono")
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = audio_rate_hz, 0, Fraction(1, audio_rate_hz)
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
