"""What a person may look at of a step: how each input was made, which windows are cut of it, and what is compared."""

from dataclasses import dataclass

from torch import Tensor

Extent = tuple[float, float]


@dataclass(frozen=True)
class FeatureWindow:
    """A window that is cut from a feature map.

    Attributes:
        name: ``large space 1``.
        cells: int64 (3, 2), or (B, 3, 2) for windows of each sample's own: start and end (excluded) along T, H and W.
        map_shape: (T, H, W) of the map in cells.
    """

    name: str
    cells: Tensor
    map_shape: tuple[int, int, int]

    def in_input(self, sample: int, shape: tuple[int, int, int]) -> tuple[Extent, Extent, Extent]:
        """Returns the part of the input that its cells stand above, in frames and pixels.

        Args:
            sample: Row of the batch.
            shape: (T, H, W) of the input.

        Returns:
            Start and end along T, H and W. A cell sees more than that: the receptive field of a trunk is wider.
        """
        own = self.cells[sample] if self.cells.ndim == 3 else self.cells
        (t, y, x) = (
            (start * length / cells, end * length / cells)
            for (start, end), length, cells in zip(own.tolist(), shape, self.map_shape, strict=True)
        )
        return t, y, x


@dataclass(frozen=True)
class InputNote:
    """How one input of the networks was made.

    Attributes:
        view: The view of the batch whose frames, or whose audio, it holds.
        mean: Of frames by channel: ``x * std + mean`` brings them back to [0, 1].
        std: See `mean`.
        reversed: It is made of a view that was read forwards, and runs backwards.
        changes: What was done to each sample, in words; empty if nothing is drawn.
        windows: What is cut from its feature map.
        encoder: Name of the task's encoder that it passes; "" for another network.
    """

    view: str
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    reversed: bool = False
    changes: tuple[str, ...] = ()
    windows: tuple[FeatureWindow, ...] = ()
    encoder: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two groups of rows that the loss pulls together, sample by sample.

    Attributes:
        query: Name of the first group: ``view 1, small space 2``.
        key: Name of the second.
        similarity: Cosines (B, B) of every query with every key; the positives lie on the diagonal.
    """

    query: str
    key: str
    similarity: Tensor
