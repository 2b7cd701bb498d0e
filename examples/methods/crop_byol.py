"""BYOL (arXiv 2006.07733) on feature crops, as a method outside the package: small windows predict a whole clip.

The teacher is a moving average of the student and embeds the whole map of each view; the student predicts its vector
from small windows of the other view. It uses no audio and no negatives.

Run it in this folder: ``stica-pv train --cfg crop_byol.yaml``.
"""

import copy
import math

import torch
from torch import nn

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, SHARE, Limits
from stica_pv.config.roles import NETWORK
from stica_pv.keyed_random import generator
from stica_pv.losses import normalize
from stica_pv.metrics import spread
from stica_pv.models import FeatureCrop, create_projection_head, measure_map, plan_crops
from stica_pv.models.feature_crop import sample_boxes
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, Embeddings, LossTerms, StepKeys, Views
from stica_pv.tasks import ClipSettings, Task, VideoEncoder, clip_views, create_video_encoder
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.stica.av_params import VIEWS, AVParams
from stica_pv.tasks.stica.config import clip_from_config
from stica_pv.transforms import ColorSettings, apply_color, color_from_config, sample_color

declare_keys(
    __name__,
    "CROP_BYOL",
    NETWORK,
    Key("WINDOWS", 4, "Feature crops of each view that the student embeds.", AT_LEAST_ONE),
    Key("WINDOW_SIZE", 0.5, "Side and length of a crop, as a share of the map's.", Limits(above=0, high=1)),
    Key("MOMENTUM", 0.99, "Weight τ of the teacher in its moving average at the first step; rises to 1.", SHARE),
    task="crop_byol",
)


class CropBYOL(Task):
    """A student predicts the vector of a view, as its teacher embeds it, from small windows of the other view."""

    local_terms = frozenset({"student", "teacher"})  # no row is compared with those of other samples

    def __init__(
        self,
        *,
        clip: ClipSettings,
        color: ColorSettings,
        student: VideoEncoder,
        predictor: nn.Module,
        windows: int = 4,
        window_size: float = 0.5,
        momentum: float = 0.99,
    ) -> None:
        """Composes the task.

        Args:
            clip: Clip to read.
            color: Color augmentation of the views.
            student: The network to train.
            predictor: Maps its rows (N, B, D) to predictions of the teacher's.
            windows: Windows per view.
            window_size: Side and length of a window, as a share of the map's.
            momentum: Weight τ of the teacher in its moving average; rises to 1 by a cosine (section 3.2).
        """
        super().__init__()
        self.clip, self.color, self.momentum = clip, color, momentum
        self.student, self.predictor, self.crop = student, predictor, FeatureCrop()
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        _, *self.map_shape = measure_map(student.backbone, frames=clip.frames, size=clip.size)
        self.windows, self.window = windows, [max(1, round(window_size * cells)) for cells in self.map_shape]

    def views(self) -> Views:
        """Returns two views of one clip."""
        return clip_views(self.clip, names=VIEWS, audio=False)

    def sample_params(self, keys: StepKeys) -> AVParams:
        """Samples windows by step, and color by sample."""
        tokens = self.student.pool.num_tokens(self.map_shape[0])
        plans, colors = [], []
        for name in VIEWS:
            boxes = sample_boxes(
                self.windows, self.window, self.map_shape, generator(f"byol {name}", keys.seed, keys.step)
            )
            plans.append(plan_crops(boxes, self.map_shape, tokens))
            rngs = [generator(f"byol color {name}", keys.seed, keys.epoch, index) for index in keys.indices]
            colors.append(sample_color(rngs, self.color))
        return AVParams(tuple(plans), tuple(colors), torch.ones(len(keys.indices)))

    def prepare(self, batch: Batch, params: AVParams) -> Inputs:
        """Changes the colors of the views."""
        pairs = zip(VIEWS, params.color, strict=True)
        return {name: apply_color(batch.video[name], color, self.color) for name, color in pairs}

    def embed(self, inputs: Inputs, params: AVParams) -> Embeddings:
        """Returns predictions (2, N, B, D as 2N groups) and, for each, the teacher's row of the other view."""
        first, second = (inputs[name] for name in VIEWS)
        student, teacher = self.student, self.teacher
        tokens = [self.crop(student.backbone(x), plan) for x, plan in zip((first, second), params.crops, strict=True)]
        predicted = self.predictor(student.head(student.pool.pool_tokens(torch.cat(tokens))))
        with torch.no_grad():
            whole = torch.stack([teacher.pool(teacher.backbone(x)) for x in (second, first)])
            target = teacher.head(whole).repeat_interleave(self.windows, dim=0)
        return {"student": normalize(predicted), "teacher": normalize(target)}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns the mean squared distance 2 - 2 cos of predictions and targets (equation 2)."""
        cosine = (local["student"] * local["teacher"]).sum(dim=-1).mean()
        total = 2 - 2 * cosine
        return LossTerms(total, {"loss": total.detach(), "spread_teacher": spread(local["teacher"][0])})

    @torch.no_grad()
    def after_step(self, step: int, total_steps: int) -> None:
        """Moves the teacher towards the student: ξ ← τξ + (1 - τ)θ."""
        tau = 1 - (1 - self.momentum) * (math.cos(math.pi * step / total_steps) + 1) / 2
        for old, new in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            old.lerp_(new, 1 - tau)

    def negatives(self, batch_size: int) -> int:
        """Returns 0."""
        return 0

    def encoders(self) -> dict[str, nn.Module]:
        """Returns the student."""
        return {"video": self.student}


@TASKS.named("crop_byol")
def crop_byol_from_config(cfg: CfgNode) -> CropBYOL:
    """Builds BYOL on feature crops."""
    clip, head, keys = clip_from_config(cfg), cfg.HEAD, cfg.CROP_BYOL
    return CropBYOL(
        clip=clip,
        color=color_from_config(cfg),
        student=create_video_encoder(cfg, clip),
        predictor=create_projection_head(
            in_dim=head.DIM, hidden_dim=head.HIDDEN_DIM, out_dim=head.DIM, dropout=0, synchronize=cfg.BN.SYNC
        ),
        windows=keys.WINDOWS,
        window_size=keys.WINDOW_SIZE,
        momentum=keys.MOMENTUM,
    )
