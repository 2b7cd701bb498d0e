"""Memory for time: the stages of a trunk are run again in the backward pass instead of keeping what they computed."""

from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stica_pv.distributed import frozen_statistics


class _Recomputing(nn.Module):
    """Mixed into the class of a stage; its forward then keeps its input alone."""

    def forward(self, x: Tensor) -> Tensor:
        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), frozen_statistics(self)

        result: Tensor = checkpoint(super().forward, x, use_reentrant=False, context_fn=contexts)
        return result


def checkpoint_stages(backbone: nn.Module) -> nn.Module:
    """Makes every direct child of a trunk recompute its activations; parameter names stay as they are.

    The running statistics of batch-norm are updated in the first pass only: the numbers are those of the plain trunk.
    The class of each child is extended, not its instance wrapped, so that copies work.
    """
    for stage in backbone.children():
        stage.__class__ = type(f"Recomputing{type(stage).__name__}", (_Recomputing, type(stage)), {})
    return backbone
