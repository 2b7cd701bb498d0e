"""Who is evaluated: trained encoders, random initialization, baselines, each with the clips that it wants to see."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from stica_pv.data.decoding.frames import FrameChoice
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.structures import FrameTransform
from stica_pv.tasks.encoders import layers_of
from stica_pv.transforms import ColorSettings

Kind = Literal["trained", "random", "baseline"]


@dataclass(frozen=True)
class ClipFormat:
    """How a model wants its clips: as it was trained.

    Attributes:
        frames: Frames a clip.
        fps: Frames a second.
        size: Side of a frame in pixels.
        train_size: The same in the views that training takes, for requests that ask for them.
        audio_rate_hz: Sample rate of the audio.
        audio_seconds: Length of a window of audio.
        random_crop: Crop and flip of training, for requests that ask for it.
        color: Colors of training, for requests that ask for them; also normalizes then.
        frame_choice: Of the reader: ``nearest``, ``previous`` or ``following``.
        short_size: Larger frames are scaled down to this short side in decoding, 0: never.
    """

    frames: int
    fps: float
    size: int
    train_size: int
    audio_rate_hz: int
    audio_seconds: float
    random_crop: FrameTransform
    color: ColorSettings
    frame_choice: FrameChoice = "nearest"
    short_size: int = 0

    @property
    def seconds(self) -> float:
        """Length of a clip of frames."""
        return self.frames / self.fps

    def __str__(self) -> str:
        video = f"{self.frames} frames at {self.fps:g} a second, {self.size} px"
        video += f" ({self.train_size} px in views of training)" if self.train_size != self.size else ""
        return f"{video}; hears {self.audio_seconds:.3g} s at {self.audio_rate_hz} Hz"


@dataclass(frozen=True)
class EvaluatedModel:
    """An encoder in an evaluation.

    Attributes:
        name: In tables; the two of random initialization share theirs, the others are unique.
        kind: ``trained``; ``random``: shown at its best; ``baseline``: no network, or that of somebody else.
        encoders: By modality, on the CPU or wherever the evaluation context put them; a missing modality is not scored.
        clip_format: The clips it wants.
        hash: Of the networks' contents.
        reestimate: Batch-norm statistics are to be re-estimated on training clips before use.
        networks: Keys of the configuration that build trunk and pooling head, for what is made of them.
    """

    name: str
    kind: Kind
    encoders: Mapping[str, nn.Module]
    clip_format: ClipFormat
    hash: str
    reestimate: bool = False
    networks: tuple[tuple[str, Any], ...] = ()

    def offers(self, request: FeatureRequest) -> bool:
        """Whether it has what is asked for."""
        encoder = self.encoders.get(request.modality)
        layer = "map" if request.layer == "map_max" else request.layer
        return encoder is not None and layer in layers_of(encoder)


def content_hash(encoders: Mapping[str, nn.Module], settings: str = "") -> str:
    """Sixteen hex digits over architecture, weights and buffers: another value means other features.

    Args:
        encoders: By modality.
        settings: What else decides what the networks do, and stands neither in their weights nor in their `repr`.
    """
    digest = hashlib.sha256(settings.encode())
    for modality, encoder in sorted(encoders.items()):
        digest.update(f"{modality}\n{encoder!r}\n".encode())
        for name, value in (*encoder.named_parameters(), *encoder.named_buffers()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
