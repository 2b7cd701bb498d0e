"""Multiscale vision transformers (Fan et al., ICCV 2021) as trunks: no class token, patch tokens in their grid."""

from collections.abc import Iterable, Sequence
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from pytorchvideo.models.vision_transformers import MultiscaleVisionTransformers
from torch import Tensor, nn
from torchvision.models.video.mvit import MViT, PositionalEncoding

from stica_pv.errors import UsageError
from stica_pv.models.feature_map import Trunk

Grid = tuple[int, int, int]
INIT_STD = 0.02  # of position embeddings, as in both libraries


class MViTTrunk(Trunk):
    """pytorchvideo's multiscale vision transformer. Its positions are learned, so it accepts a single clip size."""

    def __init__(self, model: MultiscaleVisionTransformers) -> None:
        super().__init__()
        self.patch_embed, self.cls_positional_encoding = model.patch_embed, model.cls_positional_encoding
        self.pos_drop, self.norm_patch_embed = model.pos_drop, model.norm_patch_embed
        self.blocks, self.norm_embed = model.blocks, model.norm_embed
        if self.patch_embed is None or not isinstance(self.patch_embed.patch_model, nn.Conv3d):
            raise UsageError(
                "a video transformer must divide its clips into patches in space and time: this one does not"
            )
        self.probe = _built_size(self.patch_embed.patch_model, self.grid)

    @property
    def grid(self) -> Grid:
        """Returns the number of patches along time, height and width."""
        return _grid(self.cls_positional_encoding.patch_embed_shape)

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) of the built size to the map (B, C, T', H', W')."""
        grid = self.grid
        check_size(self.patch_embed.patch_model, grid, video)
        x = self.cls_positional_encoding(self.patch_embed(video))
        for part in (self.pos_drop, self.norm_patch_embed):
            if part is not None:
                x = part(x)
        for block in self.blocks:
            x, grid = block(x, grid)
        return to_grid(self.norm_embed(x), _grid(grid), extra=int(self.cls_positional_encoding.cls_embed_on))

    def stages(self) -> list[nn.Module]:
        """Returns the transformer blocks."""
        return list(self.blocks)


class TorchvisionMViTTrunk(Trunk):
    """torchvision's MViT v1 and v2. It accepts a single clip size."""

    def __init__(self, model: MViT) -> None:
        super().__init__()
        self.conv_proj, self.pos_encoding = model.conv_proj, model.pos_encoding
        self.blocks, self.norm = model.blocks, model.norm
        self.probe = _built_size(self.conv_proj, self.grid)

    def rebuild_positions(self, frames: int, size: int) -> None:
        """Changes the clip size, which torchvision's builders do not support.

        Learned positions (v1) are initialized again if their number changes; relative ones (v2) are interpolated in the
        forward pass.

        Args:
            frames: Frames per clip.
            size: Side of a frame in pixels.
        """
        old = self.pos_encoding
        grid = _cells(self.conv_proj, (frames, size, size))
        if min(grid) < 1:
            raise UsageError(f"a video transformer cannot divide {frames} frames of {size} px into patches")
        if grid != self.grid:
            (width,) = old.class_token.shape
            new = PositionalEncoding(width, grid[1:], grid[0], rel_pos_embed=old.spatial_pos is None)
            for parameter in new.parameters():
                nn.init.trunc_normal_(parameter, std=INIT_STD)
            self.pos_encoding = new
        self.probe = _built_size(self.conv_proj, grid)

    @property
    def grid(self) -> Grid:
        """Returns the number of patches along time, height and width."""
        return _grid((self.pos_encoding.temporal_size, *self.pos_encoding.spatial_size))

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) of the built size to the map (B, C, T', H', W')."""
        grid = self.grid
        check_size(self.conv_proj, grid, video)
        x = self.pos_encoding(self.conv_proj(video).flatten(2).transpose(1, 2))
        for block in self.blocks:
            x, grid = block(x, grid)
        return to_grid(self.norm(x), grid, extra=1)

    def stages(self) -> list[nn.Module]:
        """Returns the transformer blocks."""
        return list(self.blocks)


def to_grid(tokens: Tensor, grid: Grid, *, extra: int) -> Tensor:
    """Drops the first `extra` tokens (the class token) and reshapes (B, extra + T·H·W, C) to (B, C, T, H, W)."""
    return tokens[:, extra:].transpose(1, 2).unflatten(2, grid)


def check_size(conv: Any, grid: Grid, video: Tensor) -> None:
    """Raises `UsageError` if the patches of a clip do not match the positions of a transformer."""
    if _cells(conv, video.shape[2:]) != grid:
        frames, side = _built_size(conv, grid)
        raise UsageError(
            f"a transformer with learned positions was built for {frames} frames of {side} px, got "
            f"{video.shape[2]} frames of {video.shape[3]} x {video.shape[4]} px: build it with frames= and size= of "
            "the clips (a configuration: training and test clips of one size)"
        )


def _built_size(conv: Any, grid: Grid) -> tuple[int, int]:
    return grid[0] * conv.stride[0], grid[1] * conv.stride[1]


def _cells(conv: Any, lengths: Sequence[int]) -> Grid:
    axes = zip(lengths, conv.padding, conv.kernel_size, conv.stride, strict=True)
    return _grid((length + 2 * pad - kernel) // stride + 1 for length, pad, kernel, stride in axes)


def _grid(shape: Iterable[int]) -> Grid:
    steps, height, width = (int(cells) for cells in shape)
    return steps, height, width
