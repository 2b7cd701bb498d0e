"""Models of torchvision with their published weights."""

from functools import partial

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from torchvision.models import get_model

from stica_pv.models.weights import Published


def published_by_torchvision(name: str) -> Published:
    """Returns the builder of torchvision's model `name` with its newest published weights."""
    return partial(get_model, name, weights="DEFAULT")
