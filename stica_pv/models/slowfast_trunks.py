"""SlowFast (Feichtenhofer et al., ICCV 2019) and Audiovisual SlowFast (Xiao et al., 2020) as trunks of two maps.

A feature crop is the same relative window on both maps; their channels are concatenated to one token. The fast map has
`alpha` steps per step of the slow one, so a window of slow steps is exactly a window of fast ones.
"""

from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import numpy as np
import torch
import torch.nn.functional as F
from pytorchvideo.models.net import Net
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models.feature_map import Trunk
from stica_pv.models.staged_trunks import blocks_without_heads

AUDIO = 2  # index of the audio pathway


class SlowFastTrunk(Trunk):
    """Slow and fast pathway; takes the clip of the fast one and selects the frames of the slow one.

    Attributes:
        alpha: Fast frames per slow frame, the temporal stride of the fusion.
    """

    blocks: Any  # a ModuleList; the library's blocks are not typed

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.blocks = blocks_without_heads(net)
        fusion = next(m for m in self.blocks[0].multipathway_fusion.modules() if isinstance(m, nn.Conv3d))
        self.alpha = int(fusion.stride[0])

    def forward(self, video: Tensor) -> list[Tensor]:
        """Maps float (B, 3, T, H, W) to the slow map (B, C, ⌈T/alpha⌉, H', W') and the fast one (B, c, T, H', W')."""
        maps = [slow_frames(video, self.alpha), video]
        for block in self.blocks:
            # Not the block itself: it modifies its input list, which recomputation still needs.
            maps = [stage(one) for stage, one in zip(block.multipathway_blocks, maps, strict=True)]
            maps = block.multipathway_fusion(maps)
        return maps

    def stages(self) -> list[nn.Module]:
        """Returns the stages of every pathway."""
        return [stage for block in self.blocks for stage in block.multipathway_blocks]


def slow_frames(video: Tensor, alpha: int) -> Tensor:
    """Selects frames evenly from the first to the last, as the libraries do: (B, 3, ⌈T/alpha⌉, H, W)."""
    return torch.stack([video[:, :, frame] for frame in _spread_over(video.shape[2], alpha)], dim=2)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _spread_over(frames: int, alpha: int) -> list[int]:
    """Returns the integer parts of `torch.linspace`, which counts from both ends in fp32, without a tensor."""
    count, last = -(-frames // alpha), np.float32(frames - 1)
    step, half = last / np.float32(max(1, count - 1)), max(1, count // 2)
    return [int(step * np.float32(i) if i < half else last - step * np.float32(count - 1 - i)) for i in range(count)]


class AudioVisualSlowFastTrunk(SlowFastTrunk):
    """Audiovisual SlowFast, with optional fusion of audio into the slow pathway.

    A loss that compares frames with their audio must not use fusion: the video vector would contain the answer. So the
    audio pathway is dropped by default, as the paper does at random in training. `AudioPathway` is the separate audio
    tower; with `fusion` the trunk takes audio too.
    """

    def __init__(self, net: Net, *, fusion: bool = False) -> None:
        """Takes the pathways of a model.

        Args:
            net: Whole model.
            fusion: Whether the audio pathway and its fusion are kept; forward then requires the audio.
        """
        super().__init__(net)
        self.fusion = fusion
        if not fusion:
            for block in self.blocks:
                del block.multipathway_blocks[AUDIO]
                if not isinstance(block.multipathway_fusion, nn.Identity):
                    del block.multipathway_fusion.block_audio_to_fastslow

    def forward(self, video: Tensor, log_mel: Tensor | None = None) -> list[Tensor]:
        """Maps float (B, 3, T, H, W), and with fusion log-mel (B, 1, F, T_a), to the slow and the fast map."""
        if (log_mel is not None) != self.fusion:
            raise UsageError(
                "an audiovisual SlowFast with fusion=True requires the audio: call it with (video, log_mel)"
                if self.fusion
                else "this audiovisual SlowFast was built without its audio pathway: build it with fusion=True"
            )
        maps = [slow_frames(video, self.alpha), video]
        if log_mel is not None:
            maps.append(time_first(log_mel))
        for block in self.blocks:
            maps = [stage(one) for stage, one in zip(block.multipathway_blocks, maps, strict=True)]
            if not isinstance(block.multipathway_fusion, nn.Identity):
                maps = _fuse(block.multipathway_fusion, maps)
        return maps[:AUDIO]


def _fuse(fusion: Any, maps: list[Tensor]) -> list[Tensor]:
    """Adds fast channels to the slow map, and the audio to all of them; the library's own module prints each time."""
    slow = torch.cat([maps[0], fusion.block_fast_to_slow(maps[1])], dim=1)
    if len(maps) > AUDIO:
        audio = fusion.block_audio_to_fastslow(maps[AUDIO].mean(dim=-1, keepdim=True))
        # The lengths already agree for the audio length of the published model.
        slow = slow + F.adaptive_avg_pool3d(audio, (slow.shape[2], 1, 1))
    return [slow, *maps[1:]]


def time_first(log_mel: Tensor) -> Tensor:
    """Reshapes log-mel (B, 1, F, T) to (B, 1, T, 1, F), the input of pytorchvideo's acoustic networks."""
    return log_mel.transpose(2, 3).unsqueeze(3)
