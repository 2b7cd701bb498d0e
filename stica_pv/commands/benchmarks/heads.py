"""STiCA's part beyond a trunk: crops, pooling and projection of all windows of one view."""

import torch
from torch import Tensor, nn

from stica_pv.models import FeatureCrop, Maps, MapSize, create_stica_head, create_transformer_pool, plan_crops
from stica_pv.structures import CropPlan
from stica_pv.tasks import CropSettings, CropTable

CROPS = CropSettings(space_large=2, space_small=4, time_large=2, time_small=1)
MAX_TOKENS = 8


class Heads(nn.Module):
    """Crops, the transformer of width min(C, 512) with at most 8 tokens, and the projection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.crop = FeatureCrop()
        pool = create_transformer_pool(in_channels=channels, max_tokens=MAX_TOKENS)
        self.head = create_stica_head(in_channels=channels, pool=pool, dropout=0.0, synchronize=False)

    def forward(self, maps: Maps, plan: CropPlan) -> Tensor:
        """Embeds every window: (N, B, 256)."""
        return self.head.embed_tokens(self.crop(maps, plan))


def plan_for(sizes: tuple[MapSize, ...]) -> CropPlan:
    """Returns the plan of the whole map, 2 large and 4 small crops in space, and 2 large and 1 small one in time."""
    first, *further = (size.shape for size in sizes)
    boxes = CropTable(CROPS).sample(0, first, torch.Generator().manual_seed(0))
    return plan_crops(boxes, first, min(first[0], MAX_TOKENS), pathways=further)
