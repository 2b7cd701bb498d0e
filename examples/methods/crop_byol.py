"""STiCA with a teacher (BYOL, arXiv 2006.07733): small feature crops predict whole clips, instead of being contrasted.

The teacher is a moving average of the student and embeds the whole map of each view. The student predicts its vector
from small windows of the other view; these rows are local terms. Video and audio are contrasted as in STiCA.

Run it in this folder: ``PYTHONPATH=. stica-pv train --cfg crop_byol.yaml``.
"""

import copy
import math

import torch
from torch import Tensor, nn

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, SHARE, Limits
from stica_pv.config.roles import NETWORK
from stica_pv.keyed_random import generator
from stica_pv.losses import contrast_rows, normalize
from stica_pv.models import FeatureCrop, create_projection_head, measure_map, plan_crops, sample_boxes, whole_map
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, Embeddings, LossTerms, StepKeys, Views
from stica_pv.tasks import AudioEncoder, ClipSettings, Task, VideoEncoder
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.parts import clip_views, create_audio_encoder, create_video_encoder
from stica_pv.tasks.stica.av_params import VIEWS, AVParams
from stica_pv.tasks.stica.config import clip_from_config
from stica_pv.transforms import ColorSettings, apply_color, color_from_config, sample_color

declare_keys(
    __name__,
    "CROP_BYOL",
    NETWORK,
    Key("WINDOWS", 4, "Feature crops of each view that predict the other view.", AT_LEAST_ONE),
    Key(
        "WINDOW_SIZE", 0.5, "Side of a crop as a share of the map's; it spans the whole time.", Limits(above=0, high=1)
    ),
    Key("MOMENTUM", 0.99, "Weight τ of the teacher in its moving average at the first step; rises to 1.", SHARE),
    task="crop_byol",
)


class CropBYOL(Task):
    """A student predicts the vector of a view, as its teacher embeds it, from small windows of the other view."""

    local_terms = frozenset({"predicted", "target"})  # these rows are not compared with those of other samples

    def __init__(
        self,
        *,
        clip: ClipSettings,
        color: ColorSettings,
        video: VideoEncoder,
        audio: AudioEncoder,
        predictor: nn.Module,
        windows: int = 4,
        window_size: float = 0.5,
        momentum: float = 0.99,
        temperature: float = 0.1,
    ) -> None:
        """Takes the networks; `video` is the student, `predictor` maps its rows to predictions of the teacher's."""
        super().__init__()
        self.clip, self.color, self.momentum, self.temperature = clip, color, momentum, temperature
        self.student, self.predictor, self.audio, self.crop = video, predictor, audio, FeatureCrop()
        self.teacher = copy.deepcopy(video).requires_grad_(False)
        _, *self.map_shape = measure_map(video.backbone, frames=clip.frames, size=clip.size)
        steps, *sides = self.map_shape
        self.windows, self.window = windows, [steps, *(max(1, round(window_size * side)) for side in sides)]

    def views(self) -> Views:
        """Returns two views of one clip, with its audio."""
        return clip_views(self.clip, names=VIEWS)

    def sample_params(self, keys: StepKeys) -> AVParams:
        """Samples windows by step, the whole map before them, and color by sample."""
        tokens = self.student.pool.num_tokens(self.map_shape[0])
        plans, colors = [], []
        for name in VIEWS:
            rng = generator(f"byol {name}", keys.seed, keys.step)
            boxes = sample_boxes(self.windows, self.window, self.map_shape, rng)
            plans.append(plan_crops(torch.cat([whole_map(self.map_shape), boxes]), self.map_shape, tokens))
            rngs = [generator(f"byol color {name}", keys.seed, keys.epoch, index) for index in keys.indices]
            colors.append(sample_color(rngs, self.color))
        return AVParams(tuple(plans), tuple(colors), torch.ones(len(keys.indices)))

    def prepare(self, batch: Batch, params: AVParams) -> Inputs:
        """Changes the colors of the views, and computes the spectrogram."""
        pairs = zip(VIEWS, params.color, strict=True)
        inputs = {name: apply_color(batch.video[name], color, self.color) for name, color in pairs}
        return inputs | {"log_mel": self.audio.log_mel(batch.audio[VIEWS[0]])}

    def embed(self, inputs: Inputs, params: AVParams) -> Embeddings:
        """Returns unit rows (groups, B, D): both views, the audio, predictions, and the teacher's row for each."""
        views, student, teacher = [inputs[name] for name in VIEWS], self.student, self.teacher
        tokens = [self.crop(student.backbone(x), plan) for x, plan in zip(views, params.crops, strict=True)]
        rows = student.head(student.pool.pool_tokens(torch.cat(tokens))).unflatten(0, (2, 1 + self.windows))
        audio = self.audio.head(self.audio.tower(inputs["log_mel"]).unsqueeze(0))
        with torch.no_grad():
            whole = torch.stack([teacher.pool(teacher.backbone(x)) for x in reversed(views)])
            target = teacher.head(whole).repeat_interleave(self.windows, dim=0)
        found = {"video": rows[:, 0], "audio": audio, "predicted": self.predictor(rows[:, 1:].flatten(0, 1))}
        return {name: normalize(value) for name, value in (found | {"target": target}).items()}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns the mean of the contrast and of the squared distance 2 - 2 cos of predictions (equation 2)."""
        settings = {"temperature": self.temperature, "rank_offset": rank_offset}
        contrast: Tensor = local["video"].new_zeros(())
        for query, key in (("video", "audio"), ("audio", "video")):
            queries, keys = (rows.expand(len(VIEWS), -1, -1) for rows in (local[query], gathered[key]))
            contrast = contrast + contrast_rows(queries, keys, **settings).mean() / 2
        distance = 2 - 2 * (local["predicted"] * local["target"]).sum(dim=-1).mean()
        total = (contrast + distance) / 2
        scalars = {"loss": total, "loss_contrast": contrast, "loss_prediction": distance}
        return LossTerms(total, {name: value.detach() for name, value in scalars.items()})

    @torch.no_grad()
    def after_step(self, step: int, total_steps: int) -> None:
        """Moves the teacher towards the student: ξ ← τξ + (1 - τ)θ, with τ rising to 1 by a cosine (section 3.2)."""
        tau = 1 - (1 - self.momentum) * (math.cos(math.pi * step / total_steps) + 1) / 2
        for old, new in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            old.lerp_(new, 1 - tau)

    def encoders(self) -> dict[str, nn.Module]:
        """Returns the student and the audio encoder."""
        return {"video": self.student, "audio": self.audio}


@TASKS.named("crop_byol")
def crop_byol_from_config(cfg: CfgNode) -> CropBYOL:
    """Builds the task."""
    clip, head, keys = clip_from_config(cfg), cfg.HEAD, cfg.CROP_BYOL
    return CropBYOL(
        clip=clip,
        color=color_from_config(cfg),
        video=create_video_encoder(cfg, clip),
        audio=create_audio_encoder(cfg),
        predictor=create_projection_head(in_dim=head.DIM, hidden_dim=head.HIDDEN_DIM, out_dim=head.DIM, dropout=0),
        windows=keys.WINDOWS,
        window_size=keys.WINDOW_SIZE,
        momentum=keys.MOMENTUM,
        temperature=cfg.CONTRASTIVE.TEMPERATURE,
    )
