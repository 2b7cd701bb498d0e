"""Plain transformers on log-mel spectrograms, like AST (Gong et al., Interspeech 2021)."""

from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models.audio_resnet import AudioEncoderNet
from stica_pv.models.transformer_blocks import Block, initialize, sine_positions
from stica_pv.models.weights import Pretrained, with_weights
from stica_pv.registry import AUDIO_ENCODERS

PATCH = 16  # mel bins and time steps of a patch
WIDTH = 64  # channels of an attention head, as published


class AudioTransformer(AudioEncoderNet):
    """Attention of all patches of 16 × 16, averaged to one vector.

    Unlike AST, it has patches without overlap, fixed positions, which fit any length, and no class token.
    """

    def __init__(self, *, heads: int, depth: int, width: int = WIDTH) -> None:
        """Builds the network.

        Args:
            heads: Attention heads.
            depth: Blocks.
            width: Channels of a head.
        """
        super().__init__()
        self.out_channels = heads * width
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, self.out_channels, PATCH, stride=PATCH)})
        self.blocks = nn.ModuleList(Block(self.out_channels, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(self.out_channels, eps=1e-6)
        initialize(self)

    def map(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) to the map (B, C, ⌊F/16⌋, ⌊T/16⌋), without bins and steps beyond whole patches."""
        bins, steps = log_mel.shape[2:]
        if min(bins, steps) < PATCH:
            raise UsageError(
                f"ast_* divides spectrograms into patches of {PATCH} x {PATCH}, got {bins} mel bins x {steps} steps: "
                "use longer clips, or a larger AUDIO.NUM_MEL_BINS"
            )
        cells = self.patch_embed["proj"](log_mel)
        grid = cells.shape[2:]
        x = cells.flatten(2).mT
        x = x + sine_positions(grid, self.out_channels, x.device).flatten(0, 1).to(x.dtype)
        for block in self.blocks:
            x = block(x)
        return self.norm(x).mT.unflatten(2, grid)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) to (B, C)."""
        return self.map(log_mel).mean(dim=(2, 3))


@AUDIO_ENCODERS.named("ast_s")
def create_ast_s(*, width: int = WIDTH, depth: int = 12, pretrained: Pretrained = False) -> AudioTransformer:
    """Builds the small one: 6 heads, a vector of 384 at width 64, 21.4 million parameters."""
    return with_weights(AudioTransformer(heads=6, depth=depth, width=width), pretrained)


@AUDIO_ENCODERS.named("ast_b")
def create_ast_b(*, width: int = WIDTH, depth: int = 12, pretrained: Pretrained = False) -> AudioTransformer:
    """Builds the size of AST: 12 heads, a vector of 768 at width 64, 85.3 million parameters."""
    return with_weights(AudioTransformer(heads=12, depth=depth, width=width), pretrained)
