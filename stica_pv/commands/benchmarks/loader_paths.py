"""Pipelines from files to tensors for the loader benchmark: ours, a pytorchvideo user's, and bare decoding.

The work is the same for all: one second at a random position of each file, 30 frames as two augmented views of 112
pixels, and a log-mel of 257 bands. Every pipeline uses the same positions.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from pytorchvideo.data.encoded_video import EncodedVideo
from pytorchvideo.transforms import Permute, RandomResizedCrop, UniformTemporalSubsample
from torch import Tensor
from torchvision import transforms

from stica_pv.config import CfgNode
from stica_pv.data.config import reader_from_config
from stica_pv.data.decoding.audio_track import mono, resample
from stica_pv.data.loading.collate import Sample, collate
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.manifest import probe
from stica_pv.defaults import get_cfg
from stica_pv.keyed_random import generator
from stica_pv.structures import AudioSpec, Batch, ReadFailure, SampleKey, Views, ViewSpec
from stica_pv.transforms import apply_color, sample_color, sample_volume
from stica_pv.transforms.config import color_from_config, log_mel_from_config, spatial_from_config
from stica_pv.transforms.windows import one_window

BATCH = 8
SECONDS, FRAMES, SIZE, RATE_HZ = 1.0, 30, 112, 24_000
VIEWS = ("a", "b")
_SEED = 0
_LATE_S = 0.15  # packets of frames and audio are not in the order of their times


@dataclass(frozen=True)
class Work:
    """Files, and the start of the second to read in each."""

    paths: tuple[str, ...]
    durations_s: tuple[float, ...]
    starts_s: tuple[float, ...]


def work_on(paths: Sequence[str]) -> Work:
    """Samples the starts like our data set."""
    durations = [probe(path).video_seconds for path in paths]
    sample = one_window("clip", SECONDS)
    windows = [sample(seconds, generator("sample", _SEED, 0, i, 0))["clip"] for i, seconds in enumerate(durations)]
    return Work(tuple(paths), tuple(durations), tuple(window.start_s for window in windows))


class Ours:
    """This project's pipeline, with the default configuration."""

    def __init__(self, work: Work) -> None:
        cfg: CfgNode = get_cfg()
        self.work, crop = work, spatial_from_config(cfg)
        self.color, self.log_mel = color_from_config(cfg), log_mel_from_config(cfg)
        self.volume_jitter = cfg.AUDIO.VOLUME_JITTER
        track = AudioSpec(RATE_HZ)
        specs = tuple(
            ViewSpec(name, "clip", FRAMES, FRAMES / SECONDS, SIZE, crop, audio=track if name == VIEWS[0] else None)
            for name in VIEWS
        )
        views = Views(specs, one_window("clip", SECONDS), min_seconds=SECONDS, needs_audio=True)
        reader = reader_from_config(cfg)
        self.dataset = ClipDataset(work.paths, work.durations_s, views, reader=reader, seed=_SEED)

    def samples(self) -> list[Sample | ReadFailure]:
        """Runs the part of a loader worker."""
        return [self.dataset[SampleKey(0, index)] for index in range(len(self.work.paths))]

    def tensors(self) -> None:
        """Runs everything: samples, batches, and the task's transforms on its device."""
        samples = self.samples()
        for begin in range(0, len(samples), BATCH):
            self.on_device(collate(samples[begin : begin + BATCH]))

    def on_device(self, batch: Batch | ReadFailure) -> list[Tensor]:
        """Applies color to both views and computes the log-mel."""
        if isinstance(batch, ReadFailure):
            raise RuntimeError(f"{batch.path}: {batch.cause}")

        def rngs(purpose: str) -> list[torch.Generator]:
            return [generator(purpose, _SEED, 0, index) for index in batch.index.tolist()]

        volume = sample_volume(rngs("volume"), self.volume_jitter)
        views = [apply_color(batch.video[name], sample_color(rngs(name), self.color), self.color) for name in VIEWS]
        return [*views, self.log_mel(batch.audio[VIEWS[0]] * volume[:, None])]


def pytorchvideo_way(work: Work) -> Callable[[], None]:
    """Pipeline of a pytorchvideo user: `EncodedVideo`, its transforms and torchvision's, an STFT."""
    cfg = get_cfg()
    settings, log_mel = color_from_config(cfg), log_mel_from_config(cfg)
    view = transforms.Compose(
        [
            UniformTemporalSubsample(FRAMES),
            transforms.Lambda(lambda frames: frames / 255.0),
            RandomResizedCrop(SIZE, SIZE, tuple(cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE), (3 / 4, 4 / 3)),
            transforms.RandomHorizontalFlip(),
            Permute((1, 0, 2, 3)),
            transforms.RandomApply([transforms.ColorJitter(*settings.strengths)], settings.jitter_prob),
            transforms.RandomGrayscale(settings.gray_prob),
            transforms.RandomApply(
                [transforms.GaussianBlur(settings.blur_kernel, settings.blur_sigma)], settings.blur_prob
            ),
            transforms.Normalize(settings.mean, settings.std),
            Permute((1, 0, 2, 3)),
        ]
    )

    def run() -> None:
        random.seed(_SEED)
        torch.manual_seed(_SEED)
        for path, start_s in zip(work.paths, work.starts_s, strict=True):
            video = EncodedVideo.from_path(path)
            clip = video.get_clip(start_s, start_s + SECONDS)
            video.close()
            for _ in VIEWS:
                view(clip["video"])
            if clip["audio"] is not None:  # as returned: without its sample rate, so nothing is resampled
                log_mel(clip["audio"][None, :RATE_HZ].float())

    return run


def decoding(work: Work, *, rgb: bool) -> Callable[[], None]:
    """Decodes with bare PyAV from the key frame before the second to its end, frames and audio; optionally to RGB."""

    def run() -> None:
        for path, start_s in zip(work.paths, work.starts_s, strict=True):
            with av.open(path) as container:
                video, audio = container.streams.video[0], container.streams.audio[0]
                for stream in (video, audio):
                    stream.codec_context.thread_count = 1
                frames, _ = _decode_second(container, video, audio, start_s, VideoReformatter() if rgb else None)
                if rgb:
                    np.stack(frames)

    return run


def bare_worker(work: Work) -> Callable[[], None]:
    """Runs only the calls that do the work of a worker: FFmpeg's, stacking, resampling, two crops."""
    crop = spatial_from_config(get_cfg())

    def run() -> None:
        for index, (path, start_s) in enumerate(zip(work.paths, work.starts_s, strict=True)):
            with av.open(path) as container:
                video, audio = container.streams.video[0], container.streams.audio[0]
                for stream in (video, audio):
                    stream.codec_context.thread_count = 1
                frames, track = _decode_second(container, video, audio, start_s, VideoReformatter(), skip=True)
                shown = torch.from_numpy(np.stack([frames[i * len(frames) // FRAMES] for i in range(FRAMES)]))
                rng = generator("sample", _SEED, 0, index, 0)
                for _ in VIEWS:
                    crop(shown.permute(3, 0, 1, 2), SIZE, rng)
                resample(np.concatenate(track), audio.codec_context.sample_rate, RATE_HZ)

    return run


def _decode_second(
    container: Any, video: Any, audio: Any, start_s: float, rgb: VideoReformatter | None, *, skip: bool = False
) -> tuple[list[Any], list[Any]]:
    container.seek(int(start_s / video.time_base), stream=video)
    interval, end_s = 1 / float(video.average_rate), start_s + SECONDS
    frames: list[Any] = []
    track: list[Any] = []
    for packet in container.demux(video, audio):
        early = skip and packet.dts is not None and float(packet.dts * packet.time_base) < start_s - 2 * interval
        video.codec_context.skip_frame = "NONREF" if early else "DEFAULT"
        for frame in packet.decode():
            if isinstance(frame, av.AudioFrame):
                track.append(mono(frame))
            elif rgb and frame.time is not None and start_s - interval / 2 <= frame.time < end_s:
                image = rgb.reformat(frame, format="rgb24", interpolation=Interpolation.BILINEAR, threads=1)
                frames.append(image.to_ndarray())
        if packet.dts is not None and float(packet.dts * packet.time_base) > end_s + _LATE_S:
            break
    return frames, track
