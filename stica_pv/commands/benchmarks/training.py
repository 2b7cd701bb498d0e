"""A training step with the engine's code, on clips in memory."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.commands.benchmarks.counting import sum_of_squares
from stica_pv.commands.benchmarks.subject import STANDARD, Counts, create_subject, subject_cfg
from stica_pv.engine import train_step
from stica_pv.engine.config import loop_settings_from_config
from stica_pv.engine.state import create_state
from stica_pv.structures import Batch
from stica_pv.tasks import AVContrastive
from stica_pv.tasks.stica.av_params import AUDIO, VIEWS

STEPS = 1000  # of an epoch that never ends here


@dataclass(frozen=True)
class SameSamples:
    """An order in which every step has the same samples."""

    batch_size: int
    steps_per_epoch: int = STEPS

    def epoch_of(self, step: int) -> int:
        """Always the first."""
        return 0

    def local_indices(self, step: int) -> tuple[int, ...]:
        """All of them."""
        return tuple(range(self.batch_size))


class TrainingStep:
    """One step after the other: color and log-mel, networks, loss, backward, optimizer.

    Attributes:
        task: Task to train.
        batch: Clips of the step, on the device.
        on_host: The same clips in the memory of the host, page-locked for a GPU.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        device: torch.device,
        *overrides: str,
        crops: Counts = STANDARD,
        local: int | None = None,
    ) -> None:
        """Builds it for `args.batch` clips, of which this process has `local` (default: all)."""
        cfg = subject_cfg(args, crops, *overrides)
        self.task: AVContrastive = create_subject(args, crops, *overrides).to(device)
        self.on_host = random_batch(self.task, local or args.batch)
        if device.type == "cuda":
            self.on_host = self.on_host.pin_memory()
        self.batch, self.device = self.on_host.to(device), device
        self._state = create_state(cfg, self.task, device)
        self._settings = loop_settings_from_config(cfg, STEPS, STEPS)
        self._order = SameSamples(local or args.batch)

    def __call__(self) -> Tensor:
        """Runs a step on the clips of the device; returns its loss there."""
        return self._step(self.batch)

    def from_host(self) -> Tensor:
        """Runs a step on clips that the host holds, as the loop does."""
        return self._step(self.on_host.to(self.device, non_blocking=True))

    def _step(self, batch: Batch) -> Tensor:
        terms = train_step(self._state, batch, self._order, self._settings)
        self._state.meter.add(self._state.step, terms.scalars)
        self._state.step += 1
        return terms.total.detach()

    def trunk(self) -> None:
        """Runs the trunk alone on both views, forward and backward, in the step's precision."""
        dtype = self._settings.amp_dtype
        self.task.zero_grad(set_to_none=True)
        video = [self.batch.video[name].float().contiguous() / 255 for name in VIEWS]
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            maps = [self.task.backbone(one) for one in video]
        sum_of_squares([one.float() for one in maps]).backward()


def random_batch(task: AVContrastive, size: int) -> Batch:
    """Noise, in the layout of the loader."""
    rng, clip = torch.Generator().manual_seed(0), task.clip
    shape = (size, clip.frames, clip.size, clip.size, 3)  # channels last
    pixels = {name: torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for name in VIEWS}
    video = {name: values.permute(0, 4, 1, 2, 3) for name, values in pixels.items()}
    audio = torch.rand(size, round(clip.seconds * clip.audio_rate_hz), generator=rng) * 2 - 1
    return Batch(video, {AUDIO: audio}, {AUDIO: torch.ones(size)}, torch.arange(size))


@contextmanager
def fp32_precision(*, strict: bool) -> Iterator[None]:
    """Strict: no TF32 anywhere. Otherwise PyTorch's defaults: TF32 in convolutions."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = False, not strict
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
