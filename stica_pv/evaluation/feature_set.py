"""Features of a list of items, view by view, with labels and sources of the items."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FeatureSet:
    """Features of V items (videos or recordings), each in N views (clips × crops, or windows of audio).

    Attributes:
        features: float32 (V, N, D); N is 1 where the views were averaged in extraction.
        labels: int64 (V,), or bool (V, classes) where an item may have several.
        groups: int64 (V,), source of each item; items cut from one source share a number.
    """

    features: Tensor
    labels: Tensor
    groups: Tensor

    def __post_init__(self) -> None:
        items = len(self.features)
        if self.features.ndim != 3 or len(self.labels) != items or self.groups.shape != (items,):
            raise ValueError(
                f"expected features (V, N, D), labels (V,) or (V, classes) and groups (V,), got "
                f"{tuple(self.features.shape)}, {tuple(self.labels.shape)} and {tuple(self.groups.shape)}"
            )

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, indices: Tensor) -> "FeatureSet":
        """Return some of the items, (V',) of indices or a mask."""
        return FeatureSet(self.features[indices], self.labels[indices], self.groups[indices])
