"""Models to evaluate: trained encoders, random initialization, baselines, each with its clip format."""

import functools
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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
    """Format of the clips of a model, as it was trained.

    Attributes:
        frames: Frames per clip.
        fps: Frames per second.
        size: Side of a frame in pixels.
        train_size: Side of a frame in training views, for requests of such views.
        audio_rate_hz: Sample rate of the audio.
        audio_seconds: Length of a window of audio.
        random_crop: Crop and flip of training, for requests of such views.
        color: Color augmentation and normalization of training, for requests of such views.
        frame_choice: Choice of frames by the reader: ``nearest``, ``previous`` or ``following``.
        short_size: Larger frames are scaled down to this short side in decoding; 0: never.
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
        video = f"{self.frames} frames at {self.fps:g} fps, {self.size} px"
        video += f" ({self.train_size} px in training views)" if self.train_size != self.size else ""
        return f"{video}; audio of {self.audio_seconds:.3g} s at {self.audio_rate_hz} Hz"


@dataclass(frozen=True)
class EvaluatedModel:
    """A model in an evaluation.

    Attributes:
        name: Name in tables, unique except for the two random initializations.
        kind: ``trained``; ``random``: reported at its best; ``baseline``: without a network.
        encoders: Encoders by modality; a missing modality is not scored.
        clip_format: Format of its clips.
        hash: Hash of the content of the networks.
        reestimate: Whether to re-estimate batch-norm statistics on training clips before use.
        networks: Configuration keys that build trunk and pooling head, for fine-tuning.
        audio_network: Configuration keys that build the audio tower.
    """

    name: str
    kind: Kind
    encoders: Mapping[str, nn.Module]
    clip_format: ClipFormat
    hash: str
    reestimate: bool = False
    networks: tuple[tuple[str, Any], ...] = ()
    audio_network: tuple[tuple[str, Any], ...] = ()

    def offers(self, request: FeatureRequest) -> bool:
        """Return whether the model has the requested modality and layer."""
        encoder = self.encoders.get(request.modality)
        return encoder is not None and request.source in layers_of(encoder)


def content_hash(encoders: Mapping[str, nn.Module], settings: str = "") -> str:
    """Return a hash of 16 hex digits over architecture, weights and buffers; it changes with the features.

    Args:
        encoders: Encoders by modality.
        settings: Further settings that determine the features but are neither in the weights nor in the `repr`.
    """
    digest = hashlib.sha256(settings.encode())
    for modality, encoder in sorted(encoders.items()):
        digest.update(f"{modality}\n{encoder!r}\n".encode())
        for name, value in (*encoder.named_parameters(), *encoder.named_buffers()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def code_hash(encoder: nn.Module) -> str:
    """Return a hash of 16 hex digits over the source files of all modules of an encoder: what `forward` computes."""
    digest = hashlib.sha256()
    for name in sorted({type(module).__module__ for module in encoder.modules()}):
        digest.update(f"{name}\n".encode() + _source_of(name))
    return digest.hexdigest()[:16]


@functools.cache
def _source_of(name: str) -> bytes:
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file).read_bytes() if file else b""
