"""Values made of tensors that move to a device as one."""

from dataclasses import fields, replace
from typing import Any, Self

import torch
from torch import Tensor


class Movable:
    """Base of dataclasses whose fields are tensors, other `Movable` values, or tuples and dicts of them."""

    def to(self, device: torch.device) -> Self:
        """Returns the value with its tensors on `device`, copied while the processor continues; other fields stay."""
        itself: Any = self  # a dataclass
        return replace(itself, **{field.name: _moved(getattr(self, field.name), device) for field in fields(itself)})


def _moved(value: Any, device: torch.device) -> Any:
    match value:
        case Tensor():
            return value.to(device, non_blocking=True)
        case Movable():
            return value.to(device)
        case tuple():
            return tuple(_moved(item, device) for item in value)
        case dict():
            return {name: _moved(item, device) for name, item in value.items()}
    return value
