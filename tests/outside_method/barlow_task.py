"""A method outside the package: Barlow Twins (arXiv 2103.03230) between the video and the audio of a clip."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stica_pv.structures import AudioSpec, Batch, Embeddings, LossTerms, StepKeys, Views, ViewSpec
from stica_pv.tasks import AudioEncoder, AugmentationParams, ClipSettings, Task, VideoEncoder, one_window
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.encoders import PROJECTED


@dataclass(frozen=True)
class NoChoices(AugmentationParams):
    """The method samples nothing besides the clip."""

    def rows(self, part: slice) -> "NoChoices":
        return self


class Barlow(Task):
    """Makes the cross-correlation of video and audio embeddings (B, D) the identity matrix."""

    def __init__(self, clip: ClipSettings, video: VideoEncoder, audio: AudioEncoder, redundancy_weight: float) -> None:
        super().__init__()
        self.clip, self.video, self.audio, self.redundancy_weight = clip, video, audio, redundancy_weight

    def views(self) -> Views:
        clip = self.clip
        audio = AudioSpec(clip.audio_rate_hz)
        spec = ViewSpec("clip", "clip", clip.frames, clip.fps, clip.size, clip.transform, audio=audio)
        return Views((spec,), one_window("clip", clip.seconds), min_seconds=clip.seconds, needs_audio=True)

    def sample_params(self, keys: StepKeys) -> NoChoices:
        return NoChoices()

    def prepare(self, batch: Batch, params: NoChoices) -> Inputs:
        return {"video": batch.video["clip"], "audio": batch.audio["clip"]}

    def embed(self, inputs: Inputs, params: NoChoices) -> Embeddings:
        return {name: self.encoders()[name](rows, PROJECTED).unsqueeze(0) for name, rows in inputs.items()}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        video, audio = (nn.functional.batch_norm(local[name][0], None, None, training=True) for name in local)
        correlation: Tensor = video.T @ audio / len(video)
        squares = (correlation - torch.eye(len(correlation))).square()
        invariance = squares.diagonal().sum()
        total = invariance + self.redundancy_weight * (squares.sum() - invariance)
        return LossTerms(total, {"loss": total.detach()})

    def encoders(self) -> dict[str, nn.Module]:
        return {"video": self.video, "audio": self.audio}
