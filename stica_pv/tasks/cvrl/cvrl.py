"""CVRL: contrast between two clips of each video, a sampled interval apart (arXiv 2008.03800, CVPR 2021).

Video alone, without audio. With identical starts of both clips it is SimCLR on videos.
"""

from dataclasses import dataclass

import torch
from torch import nn

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import generator
from stica_pv.losses import contrast_accuracy, normalize, nt_xent_rows
from stica_pv.metrics import effective_rank, spread, uniformity
from stica_pv.models import Pooling
from stica_pv.structures import (
    Batch,
    Comparison,
    Embeddings,
    FrameTransform,
    InputNote,
    LossTerms,
    StepKeys,
    Views,
    ViewSpec,
)
from stica_pv.tasks.base import AugmentationParams, Inputs, Task
from stica_pv.tasks.encoders import VideoEncoder
from stica_pv.tasks.monitors import ROWS, described
from stica_pv.transforms import SimclrColorParams, SimclrColorSettings, apply_simclr_color, sample_simclr_color
from stica_pv.transforms.windows import IntervalSettings, interval_windows

VIEWS = ("clip1", "clip2")
REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class PairSettings:
    """The two clips that are read of a video, with their augmentation.

    Attributes:
        frames: Frames per clip.
        fps: Frames per second.
        size: Side of a view in pixels.
        transform: Random crop of a clip, in the loader.
        interval: Distribution of the distance between the clips.
        distortion: Colors of the first and of the second clip.
    """

    frames: int
    fps: float
    size: int
    transform: FrameTransform
    interval: IntervalSettings
    distortion: tuple[SimclrColorSettings, SimclrColorSettings]


@dataclass(frozen=True)
class CVRLParams(AugmentationParams):
    """Random choices of a step: the colors of both clips."""

    distortion: tuple[SimclrColorParams, ...]

    def rows(self, part: slice) -> "CVRLParams":
        """Returns empty parameters: colors are applied before `CVRL.embed`."""
        return CVRLParams(())


class CVRL(Task):
    """CVRL's networks and loss. Keys have gradient, also those of other processes."""

    gather_with_gradient = True

    def __init__(
        self,
        *,
        pair: PairSettings,
        backbone: nn.Module,
        pool: Pooling,
        head: nn.Module,
        temperature: float = 0.1,
        reduction: str = "sum",
    ) -> None:
        """Composes the task from its parts.

        Args:
            pair: The two clips to read.
            backbone: Trunk that gives (B, C, T', H', W').
            pool: Pooling head; the paper averages.
            head: Projection of (1, 2B, ·) groups to the embedding.
            temperature: Temperature t > 0.
            reduction: ``sum`` of the losses of both clips, as released, or their ``mean``, as in the paper.
        """
        super().__init__()
        if temperature <= 0:
            raise UsageError(f"CONTRASTIVE.TEMPERATURE must be positive, got {temperature}")
        self.sums = check_choice("CVRL.REDUCTION", reduction, REDUCTIONS) == "sum"
        self.pair, self.temperature = pair, temperature
        self.backbone, self.pool, self.head = backbone, pool, head

    def views(self) -> Views:
        """Returns two windows; a video shorter than a clip is looped."""
        pair = self.pair
        specs = tuple(ViewSpec(name, name, pair.frames, pair.fps, pair.size, pair.transform) for name in VIEWS)
        windows = interval_windows(VIEWS, pair.frames / pair.fps, pair.interval)
        return Views(specs, windows, min_seconds=0.0, needs_audio=False)

    def sample_params(self, keys: StepKeys) -> CVRLParams:
        """Samples the colors of each clip, by sample."""
        return CVRLParams(
            tuple(
                sample_simclr_color(
                    [generator(f"distortion {name}", keys.seed, keys.epoch, index) for index in keys.indices],
                    settings,
                    self.pair.frames,
                )
                for name, settings in zip(VIEWS, self.pair.distortion, strict=True)
            )
        )

    def prepare(self, batch: Batch, params: CVRLParams) -> Inputs:
        """Applies color to the clips."""
        return {
            name: apply_simclr_color(batch.video[name], distortion, settings)
            for name, distortion, settings in zip(VIEWS, params.distortion, self.pair.distortion, strict=True)
        }

    def embed(self, inputs: Inputs, params: CVRLParams) -> Embeddings:
        """Embeds the clips in one pass, so that batch statistics span both.

        Returns:
            ``video`` (2, B, D), unit rows in fp32.
        """
        vectors = self.pool(self.backbone(torch.cat([inputs[name] for name in VIEWS])))
        return {"video": normalize(self.head(vectors.unsqueeze(0))[0].unflatten(0, (len(VIEWS), -1)))}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns L_a + L_b, or half of it."""
        views, keys = local["video"], gathered["video"]
        rows = nt_xent_rows(views, keys, temperature=self.temperature, rank_offset=rank_offset)
        total = rows.mean(dim=1).sum() if self.sums else rows.mean()
        # Share of first clips whose own second clip is the nearest of all second clips; every clip counts.
        counted = views.new_ones(keys.shape[1], dtype=torch.bool)
        accuracy = contrast_accuracy(views[0], keys[1], counted[: views.shape[1]], counted, rank_offset=rank_offset)
        scalars = {"loss": total, "accuracy": accuracy}
        first = keys[0, :ROWS].detach()
        scalars |= {
            "spread_video": spread(first),
            "rank_video": effective_rank(first),
            "uniformity_video": uniformity(first),
        }
        return LossTerms(total, {name: value.detach() for name, value in scalars.items()})

    def metric_descriptions(self) -> dict[str, str]:
        """Returns a sentence on each number."""
        return described("loss", "accuracy", "spread_video", "rank_video", "uniformity_video")

    def negatives(self, batch_size: int) -> int:
        """Returns the number of clips of all other videos, two each."""
        return 2 * (batch_size - 1)

    def input_notes(self, params: CVRLParams) -> dict[str, InputNote]:
        """Returns the colors of both clips."""
        return {
            name: InputNote(
                name,
                settings.mean,
                settings.std,
                changes=distortion.describe_by_clip(settings, self.pair.frames),
                encoder="video",
            )
            for name, distortion, settings in zip(VIEWS, params.distortion, self.pair.distortion, strict=True)
        }

    def comparisons(self, local: Embeddings) -> list[Comparison]:
        """Compares the first clip with the second."""
        first, second = local["video"]
        return [Comparison(*VIEWS, first @ second.mT)]

    def encoders(self) -> dict[str, nn.Module]:
        """Returns the trunk with average pooling; the projection head gives the projected layer."""
        settings = self.pair.distortion[0]
        return {"video": VideoEncoder(self.backbone, self.pool, settings.mean, settings.std, self.head)}
