"""Masked spectrograms reconstructed from the video, beside the contrast of CAV-MAE (arXiv 2210.07839).

A small transformer gets the visible patches of the spectrogram and the video's tokens over time, and predicts the
hidden patches. The error of a sample needs no other process: it is a local term. The video learns from both parts.

Run it in this folder: ``PYTHONPATH=. stica-pv train --cfg masked_audio.yaml``.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, Limits
from stica_pv.config.roles import NETWORK
from stica_pv.keyed_random import generator
from stica_pv.losses import contrast_rows, normalize
from stica_pv.models import measure_map
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, Embeddings, LossTerms, StepKeys, Views
from stica_pv.tasks import AudioEncoder, AugmentationParams, ClipSettings, Task, VideoEncoder
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.parts import clip_views, create_audio_encoder, create_video_encoder
from stica_pv.tasks.stica.config import clip_from_config
from stica_pv.transforms import ColorParams, ColorSettings, apply_color, color_from_config, sample_color

declare_keys(
    __name__,
    "MASKED_AUDIO",
    NETWORK,
    Key("MASK_RATIO", 0.75, "Share of the patches of the spectrogram that are hidden.", Limits(above=0, high=1)),
    Key("WEIGHT", 1.0, "Weight of the reconstruction beside the contrast.", NOT_NEGATIVE),
    Key("DECODER_DIM", 64, "Width of the decoder; a multiple of 4.", AT_LEAST_ONE),
    task="masked_audio",
)
CLIP = "clip"
PATCH = 8  # bands and columns of a patch


@dataclass(frozen=True)
class MaskedParams(AugmentationParams):
    """Random choices of a step: colors, and the hidden patches, bool (B, P)."""

    color: ColorParams | None
    hidden: Tensor

    def rows(self, part: slice) -> "MaskedParams":
        """Returns the mask of some samples; colors are applied before."""
        return MaskedParams(None, self.hidden[part])


class Decoder(nn.Module):
    """Predicts the hidden patches of a spectrogram from the visible ones and from video tokens."""

    def __init__(self, channels: int, tokens: int, patches: int, dim: int) -> None:
        super().__init__()
        self.read, self.mask = nn.Linear(PATCH**2, dim), nn.Parameter(torch.zeros(dim))
        self.video, self.positions = nn.Linear(channels, dim), nn.Parameter(0.02 * torch.randn(tokens + patches, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, dropout=0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.write = nn.Linear(dim, PATCH**2)

    def forward(self, patches: Tensor, hidden: Tensor, video: Tensor) -> Tensor:
        """Maps patches (B, P, 64), the mask (B, P) and video tokens (B, K, C) to predictions (B, P, 64)."""
        audio = torch.where(hidden.unsqueeze(-1), self.mask, self.read(patches))
        return self.write(self.layers(torch.cat([self.video(video), audio], 1) + self.positions)[:, video.shape[1] :])


class MaskedAudio(Task):
    """Contrast of a clip and its audio, and reconstruction of hidden parts of the spectrogram."""

    local_terms = frozenset({"error"})

    def __init__(
        self, *, clip: ClipSettings, color: ColorSettings, video: VideoEncoder, audio: AudioEncoder, decoder_dim: int,
        mask_ratio: float, weight: float, temperature: float,
    ) -> None:  # fmt: skip
        """Takes both encoders, with their heads; `weight` is that of the reconstruction."""
        super().__init__()
        self.clip, self.color, self.video, self.audio = clip, color, video, audio
        self.mask_ratio, self.weight, self.temperature = mask_ratio, weight, temperature
        spectrogram = audio.log_mel(torch.zeros(1, round(clip.seconds * clip.audio_rate_hz)))
        self.patches = (spectrogram.shape[2] // PATCH) * (spectrogram.shape[3] // PATCH)
        channels, steps, *_ = measure_map(video.backbone, frames=clip.frames, size=clip.size)
        self.decoder = Decoder(channels, steps, self.patches, decoder_dim)

    def views(self) -> Views:
        """Returns one clip with its audio."""
        return clip_views(self.clip)

    def sample_params(self, keys: StepKeys) -> MaskedParams:
        """Samples colors, and exactly MASK_RATIO of the patches, by sample."""
        colors, masks = ([generator(f"masked {name}", keys.seed, keys.epoch, i) for i in keys.indices] for name in "cm")
        order = torch.stack([torch.rand(self.patches, generator=rng).argsort() for rng in masks])
        return MaskedParams(sample_color(colors, self.color), order < self.mask_ratio * self.patches)

    def prepare(self, batch: Batch, params: MaskedParams) -> Inputs:
        """Changes colors, and computes the spectrogram."""
        assert params.color is not None
        video = apply_color(batch.video[CLIP], params.color, self.color)
        return {"video": video, "log_mel": self.audio.log_mel(batch.audio[CLIP])}

    def embed(self, inputs: Inputs, params: MaskedParams) -> Embeddings:
        """Returns unit rows of clips and audio (1, B, D), and the error of each sample (1, B, 1)."""
        feature_map = self.video.backbone(inputs["video"])
        video = self.video.head(self.video.pool(feature_map).unsqueeze(0))
        audio = self.audio.head(self.audio.tower(inputs["log_mel"]).unsqueeze(0))
        patches = F.unfold(inputs["log_mel"], PATCH, stride=PATCH).mT  # (B, P, 64)
        target = F.layer_norm(patches, (PATCH**2,))  # each patch by its own mean and deviation, as in MAE
        predicted = self.decoder(target, params.hidden, feature_map.mean(dim=(3, 4)).mT)
        error = (predicted.float() - target).square().mean(dim=-1)
        error = (error * params.hidden).sum(dim=-1) / params.hidden.sum(dim=-1)
        return {"video": normalize(video), "audio": normalize(audio), "error": error.view(1, -1, 1)}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns the contrast in both directions + WEIGHT x the error."""
        pairs = (("video", "audio"), ("audio", "video"))
        settings = {"temperature": self.temperature, "rank_offset": rank_offset}
        contrast = torch.stack([contrast_rows(local[a], gathered[b], **settings).mean() for a, b in pairs]).mean()
        error = local["error"].mean()
        total = contrast + self.weight * error
        scalars = {"loss": total, "loss_contrast": contrast, "loss_reconstruction": error}
        return LossTerms(total, {name: value.detach() for name, value in scalars.items()})

    def encoders(self) -> dict[str, nn.Module]:
        """Returns both encoders."""
        return {"video": self.video, "audio": self.audio}


@TASKS.named("masked_audio")
def masked_audio_from_config(cfg: CfgNode) -> MaskedAudio:
    """Builds the task."""
    clip, keys = clip_from_config(cfg), cfg.MASKED_AUDIO
    return MaskedAudio(
        clip=clip,
        color=color_from_config(cfg),
        video=create_video_encoder(cfg, clip),
        audio=create_audio_encoder(cfg),
        decoder_dim=keys.DECODER_DIM,
        mask_ratio=keys.MASK_RATIO,
        weight=keys.WEIGHT,
        temperature=cfg.CONTRASTIVE.TEMPERATURE,
    )
