"""Interface of a trunk (a space-time map, or one per pathway), and measurement of its map for an input size."""

import copy
import logging
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.errors import UsageError

logger = logging.getLogger(__name__)

Maps = Tensor | list[Tensor]
"""A map (B, C, T, H, W), or one per pathway; feature crops are sampled in the cells of the first."""


class MapSize(NamedTuple):
    """Size of the map of one pathway."""

    channels: int
    steps: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns (T, H, W) in cells."""
        return self[1:]


class Pathway(NamedTuple):
    """One map of a trunk: its channels, and input steps per cell along time, height and width."""

    channels: int
    strides: tuple[int, int, int]


class Trunk(nn.Module):
    """A network without pooling and classifier: float (B, 3, T, H, W) to `Maps`.

    Its parameters have the names of the library's model, so that weights load without renaming.

    Attributes:
        probe: Valid input size (frames, side in pixels) that all strides divide.
        in_channels: Channels of the input: 3 for frames, 2 for optical flow.
        drops_tokens: Whether forward takes the indices of the positions to compute as a second argument (B, K).
    """

    probe: tuple[int, int] = (64, 224)
    in_channels: int = 3
    drops_tokens: bool = False

    @cached_property
    def pathways(self) -> tuple[Pathway, ...]:
        """Returns channels and strides of every map."""
        frames, size = self.probe
        sizes = measure_pathways(self, frames=frames, size=size)
        return tuple(
            Pathway(m.channels, (round(frames / m.steps), round(size / m.height), round(size / m.width))) for m in sizes
        )

    @property
    def out_channels(self) -> int:
        """Returns the channels of a token: the sum over all pathways."""
        return sum(pathway.channels for pathway in self.pathways)

    @property
    def strides(self) -> tuple[int, int, int]:
        """Returns the input steps per cell of the first map along time, height and width."""
        return self.pathways[0].strides

    def stages(self) -> list[nn.Module]:
        """Returns the modules that activation checkpointing recomputes."""
        return list(self.children())


def as_list(maps: Maps) -> list[Tensor]:
    """Returns the maps of all pathways as a list."""
    return [maps] if isinstance(maps, Tensor) else maps


def join_pathways(maps: Maps) -> Tensor:
    """Joins pathways to one map (B, ΣC, T, H, W) with the cells of the first; the others are averaged to them."""
    if isinstance(maps, Tensor):
        return maps
    _, _, steps, height, width = maps[0].shape
    return torch.cat([maps[0], *(F.adaptive_avg_pool3d(one, (steps, height, width)) for one in maps[1:])], dim=1)


def time_tokens(maps: Maps, tokens: int) -> Tensor:
    """Averages maps over space and into `tokens` equal parts of time: (B, K, ΣC)."""
    sizes = (tokens,)  # torch 2.6 takes a traced number in a tuple alone
    return torch.cat([F.adaptive_avg_pool1d(one.mean(dim=(3, 4)), sizes).mT for one in as_list(maps)], dim=-1)


def measure_map(backbone: nn.Module, *, frames: int, size: int) -> tuple[int, int, int, int]:
    """Returns (C, T, H, W): channels of a token and cells of the first map, for clips of (3, frames, size, size).

    Raises:
        UsageError: The trunk does not accept this input size.
    """
    sizes = measure_pathways(backbone, frames=frames, size=size)
    return sum(one.channels for one in sizes), *sizes[0].shape


@torch.no_grad()
def measure_pathways(backbone: nn.Module, *, frames: int, size: int) -> tuple[MapSize, ...]:
    """Returns the size of every map for clips of (channels, frames, size, size).

    A copy of the trunk runs on the meta device: shapes only, no arithmetic. A trunk that reads tensor values cannot
    run there, and runs once on the CPU.

    Raises:
        UsageError: The trunk does not accept this input size, or returns no maps.
    """
    channels = backbone.in_channels if isinstance(backbone, Trunk) else 3
    clip = torch.empty(1, channels, frames, size, size, device="meta")
    try:
        maps = meta_copy(backbone).eval()(clip)
    except UsageError:
        raise
    except (RuntimeError, TypeError, ValueError, AssertionError, IndexError) as cause:
        maps = _real_pass(backbone, clip, cause)
    shapes = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in as_list(maps)]
    if not all(isinstance(shape, tuple) and len(shape) == 5 and min(shape) >= 1 for shape in shapes):
        raise UsageError(
            f"a backbone must return a map (B, C, T, H, W) or a list of them, this one returns {shapes} for {frames} "
            f"frames of {size} px: remove its head, or use larger clips"
        )
    return tuple(MapSize(*(int(cells) for cells in shape[1:])) for shape in shapes)


def meta_copy(module: nn.Module) -> nn.Module:
    """Returns a copy on the meta device, which computes only shapes; no weights are copied."""
    memo: dict[int, Tensor] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for p in module.parameters()
    }
    memo |= {id(buffer): torch.empty_like(buffer, device="meta") for buffer in module.buffers()}
    return copy.deepcopy(module, memo).to("meta")


def _real_pass(backbone: nn.Module, clip: Tensor, cause: Exception) -> Maps:
    frames, size = clip.shape[2:4]
    try:
        maps: Maps = copy.deepcopy(backbone).cpu().eval()(torch.zeros(clip.shape))
    except UsageError:
        raise
    except Exception as error:  # any exception of a third-party network
        raise UsageError(f"the backbone does not accept clips of {frames} frames of {size} px: {error}") from error
    logger.info("the backbone was measured by a pass on the CPU, since it cannot run on the meta device: %s", cause)
    return maps
