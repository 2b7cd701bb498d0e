"""Damages media files byte by byte and reads them in a process of their own, which may crash or hang."""

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from stica_pv.data.decoding.reader import read
from stica_pv.data.manifest.manifest import exclusion_cause, probe
from stica_pv.errors import UnreadableClip
from stica_pv.structures import Clip, ClipRequest, Window

FINE, UNREADABLE = "fine", "unreadable"
LIMIT_S = 120.0

REQUESTS = {
    "shift": ClipRequest(Window(0.3, 0.5, "shift"), 4, 8.0, 8000),
    "pad": ClipRequest(Window(0.7, 0.6, "pad"), 3, 25.0, 16000),
    "loop": ClipRequest(Window(0.1, 2.5, "loop"), 5, 2.0, 8000),
    "audio": ClipRequest(Window(0.0, 0.25, "shift"), 0, 0.0, 48000),
}


def mutate(content: bytes, seed: int) -> bytes:
    """Return `content` with bytes flipped, cut out, put in, doubled, zeroed, or numbers made huge, by the seed."""
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        head = min(len(data), 4096 if rng.random() < 0.5 else len(data))  # headers are small and matter most
        at = int(rng.integers(0, head)) if rng.random() < 0.7 else max(0, len(data) - 1 - int(rng.integers(0, head)))
        run = int(2 ** rng.uniform(0, 10))
        match int(rng.integers(0, 7)):
            case 0:
                for position in rng.integers(0, head, int(rng.integers(1, 40))):
                    data[int(position)] ^= 1 << int(rng.integers(0, 8))
            case 1:
                data[at : at + run] = rng.bytes(len(data[at : at + run]))
            case 2:
                data[at : at + run] = bytes(len(data[at : at + run]))
            case 3:
                data[at:at] = rng.bytes(run)
            case 4:
                del data[at : at + run]
            case 5:
                del data[max(1, at) :]
            case _:
                data[at : at + 4] = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1")[run % 4]
        data = data or bytearray(1)
    return bytes(data)


def outcome(path: Path, short_size: int) -> str:
    """Read a file as training does; return ``fine``, ``unreadable``, or what is wrong with the result."""
    exclusion_cause(probe(str(path)), min_seconds=0.5, needs_audio=True)
    results = []
    for requests in (REQUESTS, {"shift": REQUESTS["shift"]}, {"audio": REQUESTS["audio"]}):
        try:
            clips = read(str(path), requests, short_size=short_size)
        except UnreadableClip as error:
            results.append(UNREADABLE if error.cause else "no cause")
            continue
        faults = [f"{name}: {fault}" for name, clip in clips.items() for fault in _faults(requests[name], clip)]
        results += faults or [FINE]
    wrong = [result for result in results if result not in (FINE, UNREADABLE)]
    return "; ".join(wrong) or results[0]


def _faults(request: ClipRequest, clip: Clip) -> Iterator[str]:
    shape, audio = tuple(clip.frames.shape), clip.audio
    if clip.frames.dtype != torch.uint8 or shape[:2] != (3, request.frames):
        yield f"frames {clip.frames.dtype} {shape}"
    if request.frames and min(shape) < 1:
        yield f"empty frames {shape}"
    if audio.dtype != torch.float32 or tuple(audio.shape) != (request.audio_samples,):
        yield f"audio {audio.dtype} {tuple(audio.shape)}, wanted {request.audio_samples}"
    if not bool(torch.isfinite(audio).all()) or (audio.numel() and float(audio.abs().max()) > 1):
        yield "audio out of range"
    if not (0 <= clip.video_valid <= 1 and 0 <= clip.audio_valid <= 1):
        yield f"valid {clip.video_valid} {clip.audio_valid}"
    if clip.frame_times_s.shape != (request.frames,) or not bool(torch.isfinite(clip.frame_times_s).all()):
        yield f"times {clip.frame_times_s}"


def _work(connection: Connection, sources: Sequence[Path], folder: Path, seeds: Sequence[int]) -> None:
    torch.set_num_threads(1)
    contents = [path.read_bytes() for path in sources]
    for seed in seeds:
        source = sources[seed % len(sources)]
        path = folder / f"{seed}{source.suffix}"
        path.write_bytes(mutate(contents[seed % len(sources)], seed))
        try:
            result = outcome(path, short_size=(0, 32)[seed // len(sources) % 2])
        except Exception as error:  # noqa: BLE001 - any that is not UnreadableClip is a finding
            result = f"{type(error).__name__}: {error}"
        connection.send(result)
        if result in (FINE, UNREADABLE):
            path.unlink()


def try_seeds(sources: Sequence[Path], folder: Path, seeds: Sequence[int]) -> dict[int, str]:
    """Return the outcome by seed; also ``crash`` and ``hang``. Files with findings stay in `folder`."""
    results: dict[int, str] = {}
    while len(results) < len(seeds):
        left = seeds[len(results) :]
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=_work, args=(there, sources, folder, left))
        process.start()
        there.close()
        for seed in left:
            try:
                results[seed] = here.recv() if here.poll(LIMIT_S) else "hang"
            except EOFError:
                results[seed] = "crash"
            if results[seed] in ("hang", "crash"):
                break
        process.kill()
        process.join()
        here.close()
    return results
