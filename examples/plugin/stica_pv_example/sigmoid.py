"""Contrast of video and audio by the pairwise sigmoid loss of SigLIP (arXiv 2303.15343)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.limits import POSITIVE
from stica_pv.config.roles import NETWORK
from stica_pv.losses import normalize
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, Embeddings, LossTerms, StepKeys, Views
from stica_pv.tasks import AudioEncoder, AugmentationParams, ClipSettings, Task, VideoEncoder
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.encoders import PROJECTED
from stica_pv.tasks.parts import clip_views, create_audio_encoder, create_video_encoder
from stica_pv.tasks.stica.config import clip_from_config

declare_task("sigmoid", "Sigmoid: pairwise classification of video and audio")
declare_keys(
    __name__,
    "SIGMOID",
    NETWORK,
    Key("SCALE", 10.0, "Factor t on the cosine of a pair.", POSITIVE),
    Key("BIAS", -10.0, "Bias b of every pair, negative since most pairs do not belong together."),
    task="sigmoid",
)


@dataclass(frozen=True)
class NoParams(AugmentationParams):
    """No random choices beyond those of the loader."""

    def rows(self, part: slice) -> "NoParams":
        """Returns itself."""
        return self


def sigmoid_rows(queries: Tensor, keys: Tensor, *, scale: float, bias: float, rank_offset: int) -> Tensor:
    """Returns the loss of each query: all its pairs are classified as belonging together or not.

    Args:
        queries: Unit rows (B, D).
        keys: Unit rows (N, D); row ``rank_offset + i`` belongs to query i.
        scale: Factor t.
        bias: Bias b.
        rank_offset: Index of this process's first row among the keys.

    Returns:
        The sum over the keys of -log sigmoid(z (t q·k + b)), z = 1 for the own key and -1 for others, (B,).
    """
    logits = scale * queries @ keys.mT + bias
    own = torch.arange(len(queries), device=queries.device)
    signs = -torch.ones_like(logits)
    signs[own, own + rank_offset] = 1
    return -F.logsigmoid(signs * logits).sum(dim=-1)


class Sigmoid(Task):
    """One clip of each video and its audio, whose embeddings are classified in pairs."""

    def __init__(
        self, *, clip: ClipSettings, video: VideoEncoder, audio: AudioEncoder, scale: float, bias: float
    ) -> None:
        """Takes both encoders with their heads, and scale and bias of a pair."""
        super().__init__()
        self.clip, self.video, self.audio, self.scale, self.bias = clip, video, audio, scale, bias

    def views(self) -> Views:
        """Returns one clip with its audio."""
        return clip_views(self.clip)

    def sample_params(self, keys: StepKeys) -> NoParams:
        """Returns nothing: only the loader's crop is random."""
        return NoParams()

    def prepare(self, batch: Batch, params: NoParams) -> Inputs:
        """Computes the spectrogram; the video encoder normalizes the frames."""
        return {"video": batch.video["clip"], "log_mel": self.audio.log_mel(batch.audio["clip"])}

    def embed(self, inputs: Inputs, params: NoParams) -> Embeddings:
        """Returns one group of unit rows for each modality, (1, B, D)."""
        video = self.video(inputs["video"], PROJECTED)
        audio = self.audio.head(self.audio.tower(inputs["log_mel"]).unsqueeze(0))
        return {"video": normalize(video.unsqueeze(0)), "audio": normalize(audio)}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns the mean loss of both directions."""
        settings = {"scale": self.scale, "bias": self.bias, "rank_offset": rank_offset}
        pairs = (("video", "audio"), ("audio", "video"))
        rows = [sigmoid_rows(local[query][0], gathered[key][0], **settings) for query, key in pairs]
        total = torch.cat(rows).mean()
        return LossTerms(total, {"loss": total.detach()})

    def encoders(self) -> dict[str, nn.Module]:
        """Returns both encoders."""
        return {"video": self.video, "audio": self.audio}


@TASKS.named("sigmoid")
def sigmoid_from_config(cfg: CfgNode) -> Sigmoid:
    """Builds the task."""
    clip = clip_from_config(cfg)
    return Sigmoid(
        clip=clip,
        video=create_video_encoder(cfg, clip),
        audio=create_audio_encoder(cfg),
        scale=cfg.SIGMOID.SCALE,
        bias=cfg.SIGMOID.BIAS,
    )
