"""Parts of a checkpoint to export: a network, an example input, and descriptions of input and output."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stica_pv.config import CfgNode
from stica_pv.errors import UsageError, check_choice
from stica_pv.exchange.described import AUDIO, ENCODER, TASK, TRUNK, VIDEO, Described, build_encoder, trunk_of
from stica_pv.exchange.graphs import as_list, output_names
from stica_pv.keyed_random import generator
from stica_pv.tasks.encoders import layers_of

WHATS = (TRUNK, ENCODER, TASK)
MODALITIES = (VIDEO, AUDIO)


@dataclass(frozen=True)
class Piece:
    """A part of a checkpoint.

    Attributes:
        what: ``trunk``, ``encoder`` or ``task``.
        modality: ``video`` or ``audio``; empty for a task.
        tensors: Weights.
        network: Maps an input to a tensor, or to one per pathway; None for a task.
        example: Example input (1, …); None for a task.
        takes: Description of the input.
        gives: Description of the output.
        outputs: Output names of a program; empty for a task.
    """

    what: str
    modality: str
    tensors: dict[str, Tensor]
    network: nn.Module | None
    example: Tensor | None
    takes: str
    gives: str
    outputs: list[str]


class OneLayer(nn.Module):
    """An encoder that returns one of its layers."""

    def __init__(self, encoder: nn.Module, layer: str) -> None:
        super().__init__()
        self.encoder, self.layer = encoder, layer

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch of clips to the layer."""
        return self.encoder(x, self.layer)


def piece_of(found: Described, what: str, modality: str, layer: str) -> Piece:
    """Build a part of a file.

    Args:
        found: File that was read.
        what: One of `WHATS`.
        modality: One of `MODALITIES`; ignored for a task.
        layer: Output layer of an encoder program.

    Raises:
        UsageError: The file lacks the part.
    """
    check_choice("--what", what, WHATS)
    check_choice("--modality", modality, MODALITIES)
    if what == TASK:
        if found.what != TASK:
            raise UsageError(
                f"{found.path} holds one {found.what}: use --what {found.what}, since a task needs a checkpoint"
            )
        return Piece(TASK, "", found.tensors, None, None, "videos with audio", "the loss of a training step", [])
    encoder = build_encoder(found, modality)
    clip, takes = example_of(found.cfg(), modality)
    if what == ENCODER:
        network = OneLayer(encoder, check_choice("--layer", layer, layers_of(encoder)))
        shape, outputs = _outputs_of(network, clip)
        gives = f"{shape}, the {layer} layer"
        return Piece(ENCODER, modality, encoder.state_dict(), network.eval(), clip, takes, gives, outputs)
    trunk = trunk_of(encoder, modality)
    if modality == AUDIO:
        clip = encoder.get_submodule("log_mel")(clip)
        takes = f"log-mel spectrogram, float32 (B, {', '.join(map(str, clip.shape[1:]))}) = (B, 1, bands, columns)"
    else:
        cfg = found.cfg()
        clip = (clip.float() / 255 - _channels(cfg.DATA.MEAN)) / _channels(cfg.DATA.STD)
        takes = (
            f"float32 {_shape_text(clip)}, RGB in [0, 1] minus {list(cfg.DATA.MEAN)}, divided by {list(cfg.DATA.STD)}; "
            f"{cfg.DATA.TARGET_FPS:g} frames per second"
        )
    return Piece(TRUNK, modality, trunk.state_dict(), trunk, clip, takes, *_outputs_of(trunk, clip))


def example_of(cfg: CfgNode, modality: str) -> tuple[Tensor, str]:
    """Return a random clip (1, …) in the format of the recipe, from a fixed seed, and its description."""
    rng = generator("export example", 0)
    frames, fps, size = cfg.DATA.NUM_FRAMES, cfg.DATA.TARGET_FPS, cfg.DATA.TEST_CROP_SIZE
    if modality == VIDEO:
        clip = torch.randint(0, 256, (1, 3, frames, size, size), dtype=torch.uint8, generator=rng)
        return clip, f"uint8 {_shape_text(clip)}, RGB, {fps:g} frames per second; it is normalized inside"
    rate = cfg.AUDIO.SAMPLE_RATE
    clip = torch.rand(1, round(frames / fps * rate), generator=rng) - 0.5
    return clip, f"float32 {_shape_text(clip)}, mono audio in [-1, 1] at {rate} Hz"


def _channels(values: list[float]) -> Tensor:
    return torch.tensor(values).view(3, 1, 1, 1)


def _shape_text(tensor: Tensor) -> str:
    return f"(B, {', '.join(map(str, tensor.shape[1:]))})"


@torch.no_grad()
def _outputs_of(network: nn.Module, clip: Tensor) -> tuple[str, list[str]]:
    """Return shapes and names of the outputs of a network, one per pathway."""
    result = network(clip)
    return ", ".join(f"float32 {_shape_text(part)}" for part in as_list(result)), output_names(result)
