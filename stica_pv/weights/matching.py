"""Compares foreign tensors with those of a network: matching, missing and unexpected ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.weights.layouts import Layout

Shape = tuple[int, ...]
NOT_USED = "not used"
SHOWN = 12  # names of each kind in a report; the rest is only counted


@dataclass(frozen=True)
class Match:
    """Result of applying a layout to a file, for one network.

    Attributes:
        layout: The layout.
        tensors: Weights by our names, in the shapes of the network.
        missing: Our names without a tensor in the file, with the expected shapes.
        misshapen: Our names, with the given and the expected shapes.
        unexpected: Names of the file without a counterpart here, with their shapes.
        unused: Names of the file that the layout excludes, such as classifiers.
    """

    layout: Layout
    tensors: dict[str, Tensor]
    missing: dict[str, Shape]
    misshapen: dict[str, tuple[Shape, Shape]]
    unexpected: dict[str, Shape]
    unused: dict[str, Shape]

    @property
    def fits(self) -> bool:
        """Whether every tensor of the network was found."""
        return not (self.missing or self.misshapen)

    def count(self) -> str:
        """Returns the number of tensors of each kind."""
        return (
            f"layout {self.layout.name}: {len(self.tensors)} matched, {len(self.missing)} missing, "
            f"{len(self.misshapen)} of another shape, {len(self.unexpected)} unexpected, {len(self.unused)} not used"
        )

    def cause(self) -> str:
        """Returns one line: the counts, and the first names that do not fit."""
        first = [f"{title}: {name} {what}" for title, name, what in self._lines() if title != NOT_USED][:2]
        return "; ".join([self.count(), *first])

    def report(self) -> str:
        """Returns the counts, then names and shapes that do not fit."""
        shown: dict[str, list[str]] = {}
        for title, name, what in self._lines():
            shown.setdefault(title, []).append(f"  {title}: {name} {what}")
        lines = [self.count()]
        for title, names in shown.items():
            lines += names[:SHOWN] + ([f"  {title}: and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])
        return "\n".join(lines)

    def _lines(self) -> list[tuple[str, str, str]]:
        lines = [("missing", name, f"{shape}") for name, shape in self.missing.items()]
        lines += [("other shape", name, f"{came}, expected {own}") for name, (came, own) in self.misshapen.items()]
        lines += [("unexpected", name, f"{shape}") for name, shape in self.unexpected.items()]
        return lines + [(NOT_USED, name, f"{shape}") for name, shape in self.unused.items()]


def match(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], layout: Layout) -> Match:
    """Renames the tensors of a file and compares them with those of a network.

    Args:
        own: State dict of the network.
        tensors: Weights of the file.
        layout: Layout of the file.

    Raises:
        UsageError: Two tensors of the file get the same name.
    """
    found: dict[str, Tensor] = {}
    misshapen: dict[str, tuple[Shape, Shape]] = {}
    unexpected: dict[str, Shape] = {}
    unused: dict[str, Shape] = {}
    for foreign, tensor in tensors.items():
        names = layout.rename(foreign)
        for name, part in zip(names, _parts(tensor, len(names)), strict=True):
            if name not in own:
                (unused if layout.leaves_out(foreign) else unexpected)[foreign] = tuple(tensor.shape)
                continue
            if name in found or name in misshapen:
                raise UsageError(f"two tensors of the file become {name}, the second is {foreign}")
            part = _fitted(part, own[name], layout)
            if part.shape == own[name].shape:
                found[name] = part
            else:
                misshapen[name] = (tuple(part.shape), tuple(own[name].shape))
    missing = {
        name: tuple(tensor.shape)
        for name, tensor in own.items()
        # A count of batches that no computation here uses; files of old programs lack it.
        if name not in found and name not in misshapen and not name.endswith("num_batches_tracked")
    }
    return Match(layout, found, missing, misshapen, unexpected, unused)


def _parts(tensor: Tensor, count: int) -> tuple[Tensor, ...]:
    if count > 1 and (tensor.ndim == 0 or tensor.shape[0] % count):
        return (tensor,) * count  # reported with its shape
    return tensor.chunk(count) if count > 1 else (tensor,)


def _fitted(tensor: Tensor, own: Tensor, layout: Layout) -> Tensor:
    if layout.inflates and tensor.ndim == 4 and own.ndim == 5:
        return inflate(tensor, own.shape[2])
    if tensor.ndim > own.ndim and [n for n in tensor.shape if n > 1] == [n for n in own.shape if n > 1]:
        return tensor.reshape(own.shape)  # (1, 64, D) for (64, D)
    return tensor


def inflate(kernel: Tensor, steps: int) -> Tensor:
    """Repeats a kernel (O, I, H, W) over time and divides by its length: (O, I, T, H, W).

    On a clip without motion the result is that of the frame, except where padding in time has an effect
    (Carreira and Zisserman, CVPR 2017, section 2.4).
    """
    return (kernel / steps).unsqueeze(2).repeat(1, 1, steps, 1, 1)
