"""A library's model as a trunk: its own forward pass, its own names of weights, frozen remainders."""

from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models.feature_map import Trunk, meta_copy

_PREFIX = "model."


class WrappedTrunk(Trunk):
    """Holds a library's model, whose names of weights it keeps in its state dict.

    Parameters on which the map does not depend (a classifier's norm, blocks of the class token) are frozen: they would
    get no gradient, and training on several processes would stop at them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        self.register_state_dict_post_hook(_remove_prefix)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_add_prefix)  # type: ignore[no-untyped-call]

    def stages(self) -> list[nn.Module]:
        """Returns the blocks of the model."""
        return blocks_of(self.model)

    def freeze_unreached(self) -> None:
        """Freezes the parameters on which the map does not depend."""
        frames, size = self.probe
        copy = meta_copy(self).eval()
        with torch.enable_grad():
            copy(torch.empty(1, self.in_channels, frames, size, size, device="meta")).sum().backward()
        for own, copied in zip(self.parameters(), copy.parameters(), strict=True):
            own.requires_grad_(own.requires_grad and copied.grad is not None)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """Returns the parts of all chains (lists and sequences of modules) at the highest level that has one."""
    children = [child for child in model.children() if any(True for _ in child.parameters())]
    chains = [child for child in children if isinstance(child, nn.ModuleList | nn.Sequential) and len(child) > 1]
    if chains:
        return [part for chain in chains for part in chain.children()]
    largest = max(children, key=lambda child: sum(p.numel() for p in child.parameters()), default=None)
    return blocks_of(largest) if largest is not None else [model]


def check_input(video: Tensor, frames: int | None, size: int | None) -> None:
    """Checks the size of clips against the built one; None accepts any.

    Raises:
        UsageError: The clip has another size.
    """
    steps, height, width = video.shape[2:]
    if (frames or steps, size or height, size or width) != (steps, height, width):
        built = " of ".join(text for text in (f"{frames} frames" if frames else "frames", f"{size} px") if text)
        raise UsageError(
            f"this model was built for {built}, got {steps} frames of {height} x {width} px: build it with frames= and "
            "size= of the clips (a configuration: training and test clips of one size)"
        )


def _remove_prefix(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if name.startswith(prefix + _PREFIX)]:
        state[prefix + name.removeprefix(prefix + _PREFIX)] = state.pop(name)


def _add_prefix(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + _PREFIX + name.removeprefix(prefix)] = state.pop(name)
