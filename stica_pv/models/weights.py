"""Weights of a trunk: none, those that its library publishes, or a file."""

import os
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from stica_pv.errors import UsageError
from stica_pv.weights import best_layout, load_trunk

Pretrained = bool | str | os.PathLike[str]
"""False: fresh weights; True: those that the library publishes, through its own loading; otherwise a file."""

Published = Callable[[], nn.Module]
M = TypeVar("M", bound=nn.Module)


def with_weights(trunk: M, pretrained: Pretrained, published: Published | None = None) -> M:
    """Fills a trunk as `pretrained` says, in place, and returns it.

    Args:
        trunk: Its parameters have the plain library's names.
        pretrained: False, True, or a file of any layout that `stica_pv.weights` knows.
        published: Builds the library's model with its published weights; None if there is none.

    Raises:
        UsageError: There are no published weights or they cannot be fetched, or the weights do not fit.
    """
    if pretrained is True:
        if published is None:
            raise UsageError("pretrained=True: nobody publishes weights of this network; give a file instead")
        _load_published(trunk, published)
    elif pretrained is not False:
        load_trunk(trunk, pretrained)
    return trunk


def _load_published(trunk: nn.Module, published: Published) -> None:
    try:
        model = published()
    except OSError as error:  # no network, no such address, a full disk
        raise UsageError(
            f"pretrained=True: the published weights cannot be fetched ({error}); give a file instead"
        ) from error
    found = best_layout(trunk.state_dict(), model.state_dict())
    if not found.fits:
        raise UsageError(f"the published weights do not fit this trunk (another width or size?); {found.cause()}")
    trunk.load_state_dict(found.tensors, strict=False)
