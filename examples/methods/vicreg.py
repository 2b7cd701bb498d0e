"""VICReg between a clip and its audio (arXiv 2105.04906), as a method outside the package.

Run it in this folder: ``PYTHONPATH=. stica-pv train --cfg vicreg.yaml``.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import NOT_NEGATIVE, POSITIVE
from stica_pv.config.roles import NETWORK
from stica_pv.keyed_random import generator
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, Embeddings, LossTerms, StepKeys, Views
from stica_pv.tasks import AudioEncoder, ClipSettings, Task, VideoEncoder
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.parts import clip_views, create_audio_encoder, create_video_encoder
from stica_pv.tasks.stica.av_params import AVParams
from stica_pv.tasks.stica.config import clip_from_config
from stica_pv.transforms import ColorSettings, apply_color, color_from_config, sample_color, sample_volume

declare_keys(
    __name__,
    "VICREG",
    NETWORK,
    Key("INVARIANCE", 25.0, "Weight λ of the distance between a clip and its audio.", POSITIVE),
    Key("VARIANCE", 25.0, "Weight μ of the variance of each column.", NOT_NEGATIVE),
    Key("COVARIANCE", 1.0, "Weight ν of the covariances of different columns.", NOT_NEGATIVE),
    task="vicreg",
)
CLIP = "clip"
EPSILON = 1e-4


def off_diagonal_energy(centered: Tensor) -> Tensor:
    """Returns the sum of the squared covariances of different columns of centered rows (N, D), divided by D."""
    count, columns = centered.shape
    covariance = centered.T @ centered / (count - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / columns


class VICReg(Task):
    """Equal vectors for a clip and its audio, while each column varies (at least 1) and columns are uncorrelated."""

    gather_with_gradient = True  # variance and covariance are those of the global batch

    def __init__(
        self,
        *,
        clip: ClipSettings,
        color: ColorSettings,
        volume_jitter: float,
        video: VideoEncoder,
        audio: AudioEncoder,
        weights: tuple[float, float, float],
    ) -> None:
        """Takes both encoders; `weights` are those of invariance, variance and covariance (equation 6)."""
        super().__init__()
        self.clip, self.color, self.volume_jitter, self.weights = clip, color, volume_jitter, weights
        self.video, self.audio = video, audio

    def views(self) -> Views:
        """Returns one clip with its audio."""
        return clip_views(self.clip)

    def sample_params(self, keys: StepKeys) -> AVParams:
        """Samples color and volume by sample."""
        color, volume = (
            [generator(f"vicreg {name}", keys.seed, keys.epoch, index) for index in keys.indices]
            for name in ("color", "volume")
        )
        return AVParams((), (sample_color(color, self.color),), sample_volume(volume, self.volume_jitter))

    def prepare(self, batch: Batch, params: AVParams) -> Inputs:
        """Changes colors, and computes the spectrogram."""
        video = apply_color(batch.video[CLIP], params.color[0], self.color)
        return {"video": video, "log_mel": self.audio.log_mel(batch.audio[CLIP], params.volume)}

    def embed(self, inputs: Inputs, params: AVParams) -> Embeddings:
        """Embeds the clips and their audio, (1, B, D) each; VICReg does not normalize."""
        video = self.video.pool(self.video.backbone(inputs["video"]))
        audio = self.audio.tower(inputs["log_mel"])
        return {"video": self.video.head(video.unsqueeze(0)), "audio": self.audio.head(audio.unsqueeze(0))}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns equation 6: invariance of own rows, variance and covariance of all rows."""
        invariance = F.mse_loss(local["video"], local["audio"])
        variance = covariance = torch.zeros_like(invariance)
        for rows in (gathered["video"][0], gathered["audio"][0]):
            centered = rows - rows.mean(dim=0)
            deviation = torch.sqrt(centered.square().sum(dim=0) / (len(rows) - 1) + EPSILON)
            variance = variance + torch.relu(1 - deviation).mean() / 2  # half for each of the two, as the authors do
            covariance = covariance + off_diagonal_energy(centered)
        terms = {"loss_invariance": invariance, "loss_variance": variance, "loss_covariance": covariance}
        total = sum(weight * term for weight, term in zip(self.weights, terms.values(), strict=True))
        assert isinstance(total, Tensor)
        return LossTerms(total, {"loss": total.detach(), **{name: term.detach() for name, term in terms.items()}})

    def negatives(self, batch_size: int) -> int:
        """Returns 0: rows are not contrasted."""
        return 0

    def encoders(self) -> dict[str, nn.Module]:
        """Returns both encoders."""
        return {"video": self.video, "audio": self.audio}


@TASKS.named("vicreg")
def vicreg_from_config(cfg: CfgNode) -> VICReg:
    """Builds VICReg."""
    clip, keys = clip_from_config(cfg), cfg.VICREG
    return VICReg(
        clip=clip,
        color=color_from_config(cfg),
        volume_jitter=cfg.AUDIO.VOLUME_JITTER,
        video=create_video_encoder(cfg, clip),
        audio=create_audio_encoder(cfg),
        weights=(keys.INVARIANCE, keys.VARIANCE, keys.COVARIANCE),
    )
