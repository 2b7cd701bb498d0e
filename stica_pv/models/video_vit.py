"""Plain video transformers (ViT on tubelets of 2 × 16 × 16, as in ViViT and VideoMAE), with optional token dropping."""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models.feature_map import Trunk
from stica_pv.models.transformer_blocks import Block, initialize, sine_positions
from stica_pv.models.weights import Pretrained, with_weights
from stica_pv.registry import BACKBONES

TUBELET = (2, 16, 16)  # frames, rows and columns of a patch
WIDTH = 64  # channels of an attention head, as published


class VideoTransformer(Trunk):
    """Joint attention of all patches in space and time; fixed positions, so any clip size; no class token."""

    drops_tokens = True
    probe = (4, 64)

    def __init__(self, *, heads: int, depth: int, width: int = WIDTH) -> None:
        """Builds the network.

        Args:
            heads: Attention heads.
            depth: Blocks.
            width: Channels of a head.
        """
        super().__init__()
        dim = heads * width
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, dim, TUBELET, stride=TUBELET)})
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        initialize(self)

    def forward(self, video: Tensor, kept: Tensor | None = None) -> Tensor:
        """Maps clips to feature maps.

        Args:
            video: float (B, 3, T, H, W); H and W are multiples of 16, the last of an odd number of frames is repeated.
            kept: Indices of the positions of H'·W' that are computed, in all time steps alike, int64 (B, K); None: all.

        Returns:
            The map (B, C, ⌈T/2⌉, H/16, W/16); 0 in the cells that are not computed.
        """
        cells = self.patch_embed["proj"](_whole_patches(video))
        steps, height, width = cells.shape[2:]
        x = cells.flatten(3).permute(0, 2, 3, 1)  # (B, T', H'·W', C)
        x = x + sine_positions((steps, height, width), x.shape[-1], x.device).flatten(1, 2).to(x.dtype)
        if kept is None:
            x = self._encode(x)
        else:
            chosen = kept[:, None, :, None].expand(-1, steps, -1, x.shape[-1])
            encoded = self._encode(x.gather(2, chosen))
            x = torch.zeros_like(x, dtype=encoded.dtype).scatter(2, chosen, encoded)
        return x.permute(0, 3, 1, 2).unflatten(3, (height, width))

    def _encode(self, x: Tensor) -> Tensor:
        """Maps (B, T', S, C) to (B, T', S, C)."""
        steps = x.shape[1]
        x = x.flatten(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x).unflatten(1, (steps, -1))

    def stages(self) -> list[nn.Module]:
        """Returns the blocks."""
        return list(self.blocks)


def _whole_patches(video: Tensor) -> Tensor:
    frames, height, width = video.shape[2:]
    length, *side = TUBELET
    if height % side[0] or width % side[1]:
        raise UsageError(
            f"vit_* divides frames into patches of {side[0]} px, got {height} x {width} px: use frames of a multiple "
            "(DATA.TRAIN_CROP_SIZE, DATA.TEST_CROP_SIZE)"
        )
    return F.pad(video, (0, 0, 0, 0, 0, -frames % length), mode="replicate") if frames % length else video


def _create(heads: int, depth: int, width: int, pretrained: Pretrained) -> VideoTransformer:
    return with_weights(VideoTransformer(heads=heads, depth=depth, width=width), pretrained)


@BACKBONES.named("vit_s_16")
def create_vit_s_16(*, width: int = WIDTH, depth: int = 12, pretrained: Pretrained = False) -> VideoTransformer:
    """Builds ViT-S: 6 heads, 384 channels at width 64, 21.9 million parameters."""
    return _create(6, depth, width, pretrained)


@BACKBONES.named("vit_b_16")
def create_vit_b_16(*, width: int = WIDTH, depth: int = 12, pretrained: Pretrained = False) -> VideoTransformer:
    """Builds ViT-B: 12 heads, 768 channels at width 64, 86.2 million parameters."""
    return _create(12, depth, width, pretrained)


@BACKBONES.named("vit_l_16")
def create_vit_l_16(*, width: int = WIDTH, depth: int = 24, pretrained: Pretrained = False) -> VideoTransformer:
    """Builds ViT-L: 16 heads, 1,024 channels at width 64, 303.9 million parameters."""
    return _create(16, depth, width, pretrained)
