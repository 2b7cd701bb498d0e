"""Display metadata of a step: how each input was made, which windows are cropped from it, and what is compared."""

from dataclasses import dataclass

from torch import Tensor

Extent = tuple[float, float]


@dataclass(frozen=True)
class FeatureWindow:
    """A window that is cropped from a feature map.

    Attributes:
        name: Name of the window, such as ``large space 1``.
        cells: Start and end (excluded) along T, H and W: int64 (3, 2), or (B, 3, 2) if they differ by sample.
        map_shape: Shape (T, H, W) of the map in cells.
    """

    name: str
    cells: Tensor
    map_shape: tuple[int, int, int]

    def in_input(self, sample: int, shape: tuple[int, int, int]) -> tuple[Extent, Extent, Extent]:
        """Returns the part of the input that the cells correspond to, in frames and pixels.

        Args:
            sample: Row of the batch.
            shape: Shape (T, H, W) of the input.

        Returns:
            Start and end along T, H and W. The receptive field of a cell is wider than that.
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
        view: View of the batch whose frames or audio the input holds.
        mean: Mean of the frames by channel; ``x * std + mean`` brings them back to [0, 1].
        std: Standard deviation; see `mean`.
        reversed: Whether a view that was read forwards is reversed.
        changes: Description of the augmentation of each sample; empty if nothing is random.
        windows: Windows that are cropped from its feature map.
        encoder: Name of the task's encoder that takes the input; "" for another network.
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
        query: Name of the first group, such as ``view 1, small space 2``.
        key: Name of the second group.
        similarity: Cosines (B, B) of every query with every key; the positives are on the diagonal.
    """

    query: str
    key: str
    similarity: Tensor
