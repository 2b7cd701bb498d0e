"""Activation checkpointing: the stages of a trunk are recomputed in the backward pass, to save memory."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from stica_pv.distributed import frozen_statistics
from stica_pv.models.feature_map import Trunk


class _Recomputing(nn.Module):
    """Mixin for the class of a stage; its forward keeps only its arguments."""

    def forward(self, *args: Any, **settings: Any) -> Any:
        if (
            torch.compiler.is_compiling()
        ):  # compiled code updates the statistics once; context managers cannot be traced
            return checkpoint(super().forward, *args, use_reentrant=False, **settings)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), frozen_statistics(self)

        return checkpoint(super().forward, *args, use_reentrant=False, context_fn=contexts, **settings)


def checkpoint_stages(backbone: nn.Module) -> nn.Module:
    """Makes every stage of a trunk recompute its activations; parameter names do not change.

    Stages are those of `Trunk.stages`, or the direct children of any other module. The running statistics of
    batch-norm are updated in the first pass only, so the results equal those of the plain trunk. The class of each
    stage is extended instead of wrapping its instance, so that copies work.
    """
    for stage in backbone.stages() if isinstance(backbone, Trunk) else backbone.children():
        stage.__class__ = type(f"Recomputing{type(stage).__name__}", (_Recomputing, type(stage)), {})
    return backbone
