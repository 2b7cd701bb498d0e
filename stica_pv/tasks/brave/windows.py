"""Position of BraVe's narrow and broad window in a video (arXiv 2103.16559); both loop the video at its end."""

import math
from collections.abc import Mapping
from functools import partial

import torch

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import uniform
from stica_pv.structures import Window, WindowPolicy

NARROW, BROAD = "narrow", "broad"
ALIGNMENTS = ("start", "random", "independent")


def narrow_in_broad(narrow_seconds: float, broad_seconds: float, alignment: str = "start") -> WindowPolicy:
    """Returns the policy of BraVe.

    Args:
        narrow_seconds: Length of the narrow window.
        broad_seconds: Length of the broad window, at least that of the narrow one.
        alignment: ``start``: both begin together, uniform over all starts of the narrow window, as released.
            ``random``: the broad window anywhere in the repeated video, the narrow one anywhere within it, as in the
            first release. ``independent``: each anywhere, by itself.

    Raises:
        UsageError: The broad window is shorter than the narrow one, or there is no such alignment.
    """
    check_choice("BRAVE.ALIGNMENT", alignment, ALIGNMENTS)
    if broad_seconds < narrow_seconds:
        raise UsageError(
            f"the broad view ({broad_seconds:g} s) is shorter than the narrow one ({narrow_seconds:g} s): increase "
            "BRAVE.BROAD_FRAMES / BRAVE.BROAD_FPS to at least DATA.NUM_FRAMES / DATA.TARGET_FPS"
        )
    return partial(_sample, narrow_seconds, broad_seconds, alignment)  # not a function within: workers may be spawned


def _sample(
    narrow_s: float, broad_s: float, alignment: str, duration_s: float, rng: torch.Generator
) -> Mapping[str, Window]:
    u, offset = uniform(0.0, 1.0, rng), uniform(0.0, 1.0, rng)
    narrow = u * max(0.0, duration_s - narrow_s)
    broad = narrow
    if alignment != "start":
        repeats = max(1, math.ceil(broad_s / duration_s))  # as often as the video must be played for a broad window
        broad = offset * max(0.0, repeats * duration_s - broad_s)
    if alignment == "random":
        narrow = broad + u * (broad_s - narrow_s)
    return {NARROW: Window(narrow, narrow_s, "loop"), BROAD: Window(broad, broad_s, "loop")}
