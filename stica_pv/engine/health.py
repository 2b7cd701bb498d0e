"""Ends a run with non-finite numbers before they reach a checkpoint, with advice."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from stica_pv.distributed import largest, local_part
from stica_pv.engine.meter import Meter
from stica_pv.errors import RunFailed

SHOWN_NAMES = 8


def check_losses(meter: Meter, last_step: int, name_samples: Callable[[int], Sequence[str]]) -> None:
    """Raises `RunFailed` if a loss or gradient since the last logged step was not finite. Synchronizes with the device.

    Args:
        meter: Meter of all steps.
        last_step: The step that was just done, counted from 0.
        name_samples: Returns the names of the samples of this process in a step.
    """
    bad = meter.first_bad_step()
    if bad is None:
        return
    names = [name for step in range(bad, last_step + 1) for name in name_samples(step)]
    shown = ", ".join(names[:SHOWN_NAMES]) + (
        f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    )
    raise RunFailed(
        f"{', '.join(meter.bad_terms()) or 'the loss'} of step {bad} is not finite; no checkpoint was written after it "
        f"(lower SOLVER.BASE_LR, or set SOLVER.CLIP_GRAD_L2NORM); samples since: {shown or 'unknown'}"
    )


@torch.no_grad()
def check_weights(parameters: Iterable[nn.Parameter], step: int) -> None:
    """Raises `RunFailed` on all processes if a weight is not finite after `step` steps. Synchronizes the device."""
    finite = torch.stack([torch.isfinite(local_part(parameter)).all() for parameter in parameters])
    bad = largest((~finite).tolist())  # a process sees its own part of weights that are divided
    if any(bad):
        raise RunFailed(
            f"{sum(bad)} of {len(bad)} weight tensors are not finite after step {step}; they were not saved "
            "(lower SOLVER.BASE_LR, or set SOLVER.CLIP_GRAD_L2NORM), continue from the last checkpoint"
        )
