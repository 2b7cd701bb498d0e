"""Feature crops: many space-time views of one clip, cropped from its feature map instead of from its pixels.

STiCA (ICCV 2021), sections 3.2-3.3. Every window is the product of a rectangle in space and an interval in time, and
every pooling head of the paper takes the spatial mean first; so all windows of a batch are exactly two matrix products.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models.feature_map import Maps, as_list
from stica_pv.precision import full_precision
from stica_pv.structures import CropPlan, describe

MapShape = tuple[int, int, int]
"""(T, H, W) of a feature map, in cells."""


def sample_boxes(
    count: int, size: MapShape, map_shape: MapShape, rng: torch.Generator, *, exclusive_bound: bool = False
) -> Tensor:
    """Samples windows of one size, each start uniform over every position that fits.

    Args:
        count: Number of windows N.
        size: Size (T, H, W) of a window in cells.
        map_shape: Shape (T, H, W) of the map in cells.
        rng: Random generator.
        exclusive_bound: Whether the last position is excluded, as in the released code (a window one cell smaller than
            the map then always starts at 0).

    Returns:
        int64 (N, 3, 2): start and end (excluded) along time, height and width.

    Raises:
        UsageError: A window is larger than the map.
    """
    slack = torch.tensor(map_shape) - torch.tensor(size)
    if min(size) < 1 or int(slack.min()) < 0:
        raise UsageError(
            f"a crop of {size} cells (T, H, W) does not fit a feature map of {map_shape}: use smaller crops, "
            "longer clips or larger frames"
        )
    positions = slack.clamp(min=1) if exclusive_bound else slack + 1
    # Double precision: float32 could round up to the bound.
    start = (torch.rand(count, 3, generator=rng, dtype=torch.float64) * positions).long()
    return torch.stack([start, start + torch.tensor(size)], dim=-1)


def whole_map(map_shape: MapShape) -> Tensor:
    """Returns the window that is the whole map, int64 (1, 3, 2)."""
    return torch.tensor([[[0, cells] for cells in map_shape]])


def same_window(boxes: Tensor, map_shape: MapShape, other: MapShape) -> Tensor:
    """Returns windows of one map in the cells of another: the same relative window, widened to whole cells.

    Args:
        boxes: Windows, int64 (…, 3, 2), on a map of `map_shape`.
        map_shape: Shape (T, H, W) of their map.
        other: Shape (T, H, W) of the other map.

    Returns:
        int64 (…, 3, 2): ⌊start × other / own⌋ and ⌈end × other / own⌉.
    """
    own, others = torch.tensor(map_shape), torch.tensor(other)
    start, end = boxes.unbind(-1)
    return torch.stack([start * others // own, -(-end * others // own)], dim=-1)


def plan_crops(boxes: Tensor, map_shape: MapShape, tokens: int, *, pathways: Sequence[MapShape] = ()) -> CropPlan:
    """Turns windows into averaging weights.

    Token k of a window of L steps averages its steps ⌊kL/K⌋ … ⌈(k+1)L/K⌉ - 1, as in adaptive average pooling, so
    that windows of any length give the same number of tokens.

    Args:
        boxes: Windows, int64 (N, 3, 2), or (B, N, 3, 2) if they differ by sample.
        map_shape: Shape (T, H, W) of the map.
        tokens: Number of tokens K.
        pathways: Shapes (T, H, W) of the further maps of a trunk with several; each gets the same relative windows.
    """
    limits = torch.tensor(map_shape)
    if (boxes[..., 0] < 0).any() or (boxes[..., 1] > limits).any() or (boxes[..., 0] >= boxes[..., 1]).any():
        raise UsageError(f"crop windows {boxes.tolist()} are not inside a feature map of {map_shape} (T, H, W)")
    rows, columns = (_inside(boxes[..., axis, 0], boxes[..., axis, 1], map_shape[axis]) for axis in (1, 2))
    space = (rows.unsqueeze(-1) & columns.unsqueeze(-2)).flatten(-2).float()
    k = torch.arange(tokens)
    start, length = boxes[..., 0, :1], (boxes[..., 0, 1:] - boxes[..., 0, :1])
    first = start + k * length // tokens
    end = start + -(-(k + 1) * length // tokens)
    time = _inside(first, end, map_shape[0]).float()
    further = tuple(plan_crops(same_window(boxes, map_shape, other), other, tokens) for other in pathways)
    return CropPlan(space / space.sum(-1, keepdim=True), time / time.sum(-1, keepdim=True), further)


def boxes_of(plan: CropPlan, map_shape: MapShape) -> Tensor:
    """Returns the windows of a plan, int64 (…, N, 3, 2); the inverse of `plan_crops`."""
    _, height, width = map_shape
    space = plan.space.unflatten(-1, (height, width)) > 0
    used = (plan.time > 0).any(-2), space.any(-1), space.any(-2)
    return torch.stack([torch.stack([_first(axis), axis.shape[-1] - _first(axis.flip(-1))], -1) for axis in used], -2)


def _first(used: Tensor) -> Tensor:
    return used.int().argmax(-1)  # argmax returns the first of equal values


def _inside(start: Tensor, end: Tensor, cells: int) -> Tensor:
    position = torch.arange(cells)
    return (position >= start.unsqueeze(-1)) & (position < end.unsqueeze(-1))


def _shape_of_map(feature_map: Tensor) -> tuple[int, int, int, int, int]:
    if feature_map.ndim != 5:
        raise UsageError(f"expected a feature map (B, C, T, H, W), got {describe(feature_map)}")
    batch, channels, steps, height, width = feature_map.shape
    return batch, channels, steps, height, width


def _kind(value: object) -> str:
    return describe(value) if isinstance(value, Tensor) else type(value).__name__


class FeatureCrop(nn.Module):
    """Crops windows from a feature map, between a trunk and its pooling head. Has no parameters.

    Calling it gives the tokens of all windows, for heads that begin with a spatial mean, such as those of the paper.
    `maps` crops the windows as maps for all other heads: ``head(FeatureCrop().maps(feature_map, boxes).flatten(0, 1))``
    with a head of pytorchvideo.
    """

    def forward(self, maps: Maps, plan: CropPlan) -> Tensor:
        """Averages every window over space and into its tokens over time.

        Args:
            maps: Feature map (B, C, T, H, W), or one map per pathway.
            plan: Windows as weights, for these T, H and W.

        Returns:
            Tokens (N, B, K, C), in fp32 or better, not normalized: a pooling head takes them as they are, and unit
            length is a matter of the loss. Windows N come first, so that each is a batch of B samples for the
            batch-norm of a projection head and for gathering over processes; K are the tokens over time, C the
            concatenated channels of all pathways.
        """
        if not isinstance(plan, CropPlan):
            raise UsageError(
                f"FeatureCrop expects a CropPlan, got {_kind(plan)}: make one of boxes by "
                "plan_crops(boxes, (T, H, W), tokens)"
            )
        one_by_one, plans = as_list(maps), (plan, *plan.pathways)
        if len(one_by_one) != len(plans):
            raise UsageError(
                f"the trunk gives {len(one_by_one)} maps, but the crops are planned for {len(plans)}: "
                "pass the sizes of the further maps to plan_crops as pathways="
            )
        return torch.cat([self._tokens(one, its) for one, its in zip(one_by_one, plans, strict=True)], dim=-1)

    def _tokens(self, feature_map: Tensor, plan: CropPlan) -> Tensor:
        batch, _, steps, height, width = _shape_of_map(feature_map)
        samples = plan.space.shape[0] if plan.space.ndim == 3 else batch
        if (samples, plan.space.shape[-1], plan.time.shape[-1]) != (batch, height * width, steps):
            raise UsageError(f"{plan} does not fit the map {describe(feature_map)}")
        # Weights such as 1/36 are not exact in half precision, and the cost is negligible: average in fp32.
        with full_precision(feature_map.device):
            x = feature_map.to(torch.promote_types(feature_map.dtype, torch.float32)).flatten(3)
            space, time = plan.space.to(x.dtype), plan.time.to(x.dtype)
            if space.ndim == 2:
                return torch.einsum("nkt,bctn->nbkc", time, torch.matmul(x, space.mT))
            return torch.einsum("bnkt,bctn->nbkc", time, torch.einsum("bcts,bns->bctn", x, space))

    def maps(self, feature_map: Tensor, boxes: Tensor) -> Tensor:
        """Crops the windows as maps, for heads that do not begin with a spatial mean.

        Args:
            feature_map: Feature map (B, C, T, H, W).
            boxes: Windows, int64 (N, 3, 2) or (B, N, 3, 2), all of one size.

        Returns:
            Sub-maps (N, B, C, t, h, w).
        """
        _shape_of_map(feature_map)
        if not isinstance(boxes, Tensor) or boxes.ndim not in (3, 4) or boxes.shape[-2:] != (3, 2):
            raise UsageError(f"expected boxes (N, 3, 2) or (B, N, 3, 2): start and end in T, H, W; got {_kind(boxes)}")
        size = boxes[..., 1] - boxes[..., 0]
        flat = size.flatten(0, -2)
        if not bool((flat == flat[0]).all()):
            raise UsageError(f"windows cropped as maps must have one size, got sizes {flat.unique(dim=0).tolist()}")
        batch = feature_map.shape[0]
        starts = boxes[..., 0].to(feature_map.device)
        if starts.ndim == 2:
            starts = starts.expand(batch, -1, -1)
        t, y, x = (
            (starts[..., axis, None] + torch.arange(int(flat[0, axis]), device=starts.device)) for axis in range(3)
        )
        b = torch.arange(batch, device=starts.device).view(-1, 1, 1, 1, 1)
        cut = feature_map.permute(0, 2, 3, 4, 1)[
            b, t[..., :, None, None], y[..., None, :, None], x[..., None, None, :]
        ]  # (B, N, t, h, w, C)
        return cut.permute(1, 0, 5, 2, 3, 4)
