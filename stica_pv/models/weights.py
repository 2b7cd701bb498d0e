"""Weights of a trunk: random, published by its library, or from a file."""

import os
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from stica_pv.errors import UsageError
from stica_pv.weights import best_layout, load_trunk

Pretrained = bool | str | os.PathLike[str]
"""False for random weights, True for the library's published weights, loaded by the library; otherwise a file."""

Published = Callable[[], nn.Module]
M = TypeVar("M", bound=nn.Module)


def with_weights(trunk: M, pretrained: Pretrained, published: Published | None = None) -> M:
    """Loads weights into a trunk, in place, and returns it.

    Args:
        trunk: Trunk whose parameters have the library's names.
        pretrained: False, True, or a file in any layout of `stica_pv.weights`.
        published: Builder of the library's model with its published weights; None if there are none.

    Raises:
        UsageError: There are no published weights, they cannot be downloaded, or the weights do not fit.
    """
    if pretrained is True:
        if published is None:
            raise UsageError("pretrained=True: there are no published weights of this network; give a file instead")
        _load_published(trunk, published)
    elif pretrained is not False:
        load_trunk(trunk, pretrained)
    return trunk


def _load_published(trunk: nn.Module, published: Published) -> None:
    try:
        model = published()
    except OSError as error:  # no network, no such address, a full disk
        raise UsageError(
            f"pretrained=True: the published weights cannot be downloaded ({error}); give a file instead"
        ) from error
    found = best_layout(trunk.state_dict(), model.state_dict())
    if not found.fits:
        raise UsageError(f"the published weights do not fit this trunk (another width or size?); {found.cause()}")
    trunk.load_state_dict(found.tensors, strict=False)
