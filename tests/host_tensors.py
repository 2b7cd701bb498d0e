"""Finds tensors that a step makes of Python numbers: on a GPU each is copied, and the device waited for."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_MAKERS = (torch.ops.aten.lift_fresh.default, torch.ops.aten.linspace.default)


class NoHostTensors(TorchDispatchMode):
    """Raises where code makes a tensor of Python numbers."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _MAKERS:
            raise AssertionError(f"{func} makes a tensor of Python numbers")
        return func(*args, **(kwargs or {}))
