"""Classification of videos: a trunk with its pooling head, and a linear layer. Fine-tuning trains it on few labels.

The recipe for UCF-101 and HMDB-51 follows STiCA's released one (GDT, arXiv 2003.04298, describes the same).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.precision import full_precision
from stica_pv.structures import (
    AudioSpec,
    Batch,
    Embeddings,
    FrameTransform,
    InputNote,
    LossTerms,
    StepKeys,
    Views,
    ViewSpec,
)
from stica_pv.tasks.base import AugmentationParams, Inputs, ParameterGroup, Task
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.stica.inspection import color_note
from stica_pv.transforms import ColorParams, ColorSettings, apply_color, sample_color
from stica_pv.transforms.windows import ShortVideos, end_of, one_window

VIEW = "clip"


@dataclass(frozen=True)
class ClassificationClip:
    """Clip that is read of a video, with its augmentation.

    Attributes:
        frames: Frames per clip.
        fps: Frames per second.
        size: Side of the view in pixels.
        transform: Random crop, in the loader.
        color: Color augmentation.
        short_videos: Videos shorter than a clip: ``loop`` repeats them, ``repeat_last`` repeats their last frame.
        audio_rate_hz: Sample rate of the audio of the clip; 0: the clip has frames alone.
    """

    frames: int
    fps: float
    size: int
    transform: FrameTransform
    color: ColorSettings
    short_videos: ShortVideos = "loop"
    audio_rate_hz: int = 0


@dataclass(frozen=True)
class ClipParams(AugmentationParams):
    """Random choices of a step: the colors of each clip."""

    color: ColorParams

    def rows(self, part: slice) -> "ClipParams":
        """Returns itself: colors are applied before the networks run."""
        return self


class Classification(Task):
    """Softmax cross-entropy on one random clip of each video, by its frames or by its frames and audio."""

    def __init__(
        self,
        *,
        clip: ClassificationClip,
        backbone: nn.Module,
        pool: nn.Module,
        dim: int,
        classes: int,
        backbone_lr_scale: float = 0.1,
        pool_lr_scale: float = 0.1,
        audio: AudioEncoder | None = None,
    ) -> None:
        """Composes the task from its parts.

        Args:
            clip: Clip to read.
            backbone: Trunk that gives (B, C, T', H', W').
            pool: Pooling head, from the map to (B, dim).
            dim: Length of the pooled vectors, of video and audio together.
            classes: Number of classes.
            backbone_lr_scale: Factor on the learning rate of the trunk; the classifier's is 1.
            pool_lr_scale: Factor on that of the pooling head.
            audio: Spectrogram and audio tower, if `clip` has audio; its vector is appended to that of the frames.
        """
        super().__init__()
        if classes < 2:
            raise UsageError(f"MODEL.NUM_CLASSES: a classifier needs at least 2 classes, got {classes}")
        if (audio is None) == bool(clip.audio_rate_hz):
            raise ValueError(f"expected an audio tower for clips with audio alone, got {audio} for {clip}")
        self.clip, self.backbone, self.pool, self.audio = clip, backbone, pool, audio
        self.classifier = nn.Linear(dim, classes)
        nn.init.orthogonal_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self.lr_scales = {"classifier": 1.0, "backbone": backbone_lr_scale, "pool": pool_lr_scale}
        if audio is not None:
            self.lr_scales["audio"] = backbone_lr_scale

    def views(self) -> Views:
        """Returns one window anywhere in the video; shorter videos are used too."""
        clip = self.clip
        seconds = clip.frames / clip.fps
        audio = AudioSpec(clip.audio_rate_hz) if clip.audio_rate_hz else None
        spec = ViewSpec(VIEW, VIEW, clip.frames, clip.fps, clip.size, clip.transform, audio=audio)
        window = one_window(VIEW, seconds, end_of(clip.short_videos))
        return Views((spec,), window, min_seconds=0.0, needs_audio=audio is not None)

    def check_labels(self, labels: Sequence[int] | None) -> None:
        """Refuses a list without labels, or with a label that has no output.

        Raises:
            UsageError: The task cannot learn from these labels.
        """
        if labels is None:
            raise UsageError("TASK classification needs a label for each video, but this list has none")
        if max(labels) >= self.classifier.out_features:
            raise UsageError(
                f"MODEL.NUM_CLASSES is {self.classifier.out_features}, but the list has a label {max(labels)}: "
                f"labels start at 0; set MODEL.NUM_CLASSES to at least {max(labels) + 1}"
            )

    def sample_params(self, keys: StepKeys) -> ClipParams:
        """Samples colors for each clip."""
        rngs = [generator("photometry", keys.seed, keys.epoch, index) for index in keys.indices]
        return ClipParams(sample_color(rngs, self.clip.color))

    def prepare(self, batch: Batch, params: ClipParams) -> Inputs:
        """Applies color to the clips, computes spectrograms, and passes the labels on."""
        if batch.label is None:
            raise ValueError("classification needs a label for each video; see check_labels")
        video = apply_color(batch.video[VIEW], params.color, self.clip.color)
        inputs = {"video": video, "label": batch.label}
        return inputs if self.audio is None else {**inputs, "log_mel": self.audio.log_mel(batch.audio[VIEW])}

    def embed(self, inputs: Inputs, params: ClipParams) -> Embeddings:
        """Classifies the clips.

        Returns:
            ``logits`` (1, B, classes) in fp32; ``label`` (1, B, 1).
        """
        vectors = self.pool(self.backbone(inputs["video"]))
        if self.audio is not None:
            vectors = torch.cat([vectors, self.audio.tower(inputs["log_mel"])], dim=1)
        with full_precision(vectors.device):
            logits = self.classifier(vectors.float())
        return {"logits": logits.unsqueeze(0), "label": inputs["label"].float().view(1, -1, 1)}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns the cross-entropy of this process's clips; gradients are averaged over the processes."""
        logits, label = local["logits"][0], local["label"][0, :, 0].long()
        total = F.cross_entropy(logits, label)
        accuracy = (logits.argmax(dim=1) == label).float().mean()
        return LossTerms(total, {"loss": total.detach(), "accuracy": accuracy.detach()})

    def input_notes(self, params: ClipParams) -> dict[str, InputNote]:
        """Returns the colors of the clips."""
        return {"video": color_note(VIEW, params.color, self.clip.color)}

    def encoders(self) -> dict[str, nn.Module]:
        """Returns the trunk with the pooling head, and the audio tower."""
        color = self.clip.color
        video = VideoEncoder(self.backbone, self.pool, color.mean, color.std)
        return {"video": video} if self.audio is None else {"video": video, "audio": self.audio}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Returns classifier, trunk, pooling head and audio tower, each with its factor."""
        parts = {name: tuple(p for p in getattr(self, name).parameters() if p.requires_grad) for name in self.lr_scales}
        return [ParameterGroup(name, found, self.lr_scales[name]) for name, found in parts.items() if found]

    def metric_descriptions(self) -> dict[str, str]:
        """Returns a sentence on each number."""
        return {
            "loss": "Cross-entropy of the labels, in nats.",
            "accuracy": "Share of the training clips that are classified correctly, 0 to 1.",
        }

    def negatives(self, batch_size: int) -> int:
        """Returns 0: classes are compared, not videos."""
        return 0

    def sizes(self) -> dict[str, int]:
        """Returns the number of classes."""
        return {"classes": self.classifier.out_features}


class Classifier(nn.Module):
    """The networks of one modality of a classification as one module from loader tensors to scores, for its test.

    The classifier is linear in the appended vectors, so the logits of a clip are the sum of those of its modalities.
    """

    def __init__(self, task: Classification, modality: str = "video") -> None:
        """Takes the networks of a modality, and the columns of the classifier for its vectors."""
        super().__init__()
        self.encoder, self.classifier, self.is_video = task.encoders()[modality], task.classifier, modality == "video"

    def forward(self, x: Tensor) -> Tensor:
        """Maps frames, uint8 (B, 3, T, H, W) or normalized floats, or audio (B, S), to logits (B, classes)."""
        vectors = self.encoder(x).float()
        dim, weight = vectors.shape[1], self.classifier.weight
        if self.is_video:
            return F.linear(vectors, weight[:, :dim], self.classifier.bias)
        return F.linear(vectors, weight[:, -dim:])
