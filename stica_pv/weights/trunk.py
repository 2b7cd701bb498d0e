"""Loads foreign weights into a trunk, whatever program wrote them."""

import logging
import os
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.weights.files import read_weights
from stica_pv.weights.layouts import TRUNK_LAYOUTS, Layout, layout_named
from stica_pv.weights.matching import Match, match

logger = logging.getLogger(__name__)

AUTO = "auto"


def best_layout(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], layouts: Iterable[Layout] = TRUNK_LAYOUTS
) -> Match:
    """Tries every layout and returns the match with the most tensors of the network."""

    def worth(found: Match) -> tuple[int, bool]:
        return len(found.tensors), found.layout.marked(tensors)

    return max((match(own, tensors, layout) for layout in layouts), key=worth)


def load_trunk(trunk: nn.Module, path: str | os.PathLike[str], *, layout: str = AUTO) -> Match:
    """Loads weights from a file into a trunk, whose names are those of the plain torchvision or pytorchvideo model.

    Args:
        trunk: A trunk of this package, or any module with such names; without a classifier or with one.
        path: Weights of torchvision, pytorchvideo, SlowFast, or a two-dimensional ResNet; see `LAYOUTS`.
        layout: Name of the layout, or ``auto`` for the one that fits best.

    Returns:
        Loaded tensors and the rest.

    Raises:
        UsageError: The file cannot be read, lacks a tensor of the trunk, or has one more than classifiers: weights of
            ResNet-101 hold all names of ResNet-50. The trunk is untouched.
    """
    weights = read_weights(path)
    if weights.skipped:
        logger.info("%s: left out, objects of the program that wrote the file: %s", path, ", ".join(weights.skipped))
    own = trunk.state_dict()
    found = best_layout(own, weights.tensors) if layout == AUTO else match(own, weights.tensors, layout_named(layout))
    if not found.fits or found.unexpected:
        raise UsageError(f"{path} does not fit this trunk; {found.cause()}")
    trunk.load_state_dict(found.tensors, strict=False)
    return found
