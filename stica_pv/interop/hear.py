"""The interface of HEAR (Holistic Evaluation of Audio Representations) for an audio encoder of this package."""

import os

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.interop.audio_windows import AudioWindows

RATES_HZ = (16000, 22050, 44100, 48000)
"""Rates in which the recordings of HEAR come."""

HOP_S = 0.05
"""Largest step between timestamps that HEAR suggests; its event scores allow errors of 50 ms."""


class HearModel(AudioWindows):
    """An audio encoder with the attributes that HEAR reads.

    Attributes:
        scene_embedding_size: Size of an embedding of a recording.
        timestamp_embedding_size: Size of an embedding of a moment.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Load the encoder.

        Raises:
            UsageError: The file holds no audio encoder, or one of a sample rate that HEAR does not have.
        """
        super().__init__(path)
        if self.sample_rate not in RATES_HZ:
            rates = ", ".join(map(str, RATES_HZ))
            raise UsageError(
                f"{os.fspath(path)}: its encoder takes audio at {self.sample_rate} Hz, HEAR has {rates} Hz; "
                "train with one of these as AUDIO.SAMPLE_RATE"
            )
        self.scene_embedding_size = self.timestamp_embedding_size = self.dim


def load_model(model_file_path: str = "") -> HearModel:
    """Load the encoder of a checkpoint, an export, a folder, or a repository of the Hub.

    Raises:
        UsageError: No path is given, or `HearModel` refuses the file.
    """
    if not model_file_path:
        raise UsageError("no weights: expected the path of a checkpoint or an export (hear-validator: --model PATH)")
    return HearModel(model_file_path)


@torch.no_grad()
def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """Map recordings (B, S) to (B, D): the mean over windows that cover the recording."""
    return model.back_to_back(audio).mean(dim=1)


@torch.no_grad()
def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Map recordings (B, S) to embeddings (B, T, D) and their times (B, T) in ms: the centers of their windows."""
    hop = int(HOP_S * model.sample_rate)
    embeddings = model.centered(audio, hop)
    times = (torch.arange(embeddings.shape[1], device=audio.device) + 0.5) * (1000 * hop / model.sample_rate)
    return embeddings, times.expand(len(audio), -1)
