"""Metrics that reveal a collapse of an audio-visual embedding, for the log; see `stica_pv.metrics`."""

from torch import Tensor

from stica_pv.losses import masked_mean
from stica_pv.metrics import effective_rank, misalignment, spread, uniformity

ROWS = 1024
"""Number of rows of the global batch that are used: the cost of uniformity grows with its square."""


def collapse_monitors(
    local: tuple[Tensor, Tensor], gathered: tuple[Tensor, Tensor], valid: Tensor, valid_everywhere: Tensor
) -> dict[str, Tensor]:
    """Computes the metrics of one group of video rows and its audio rows.

    Args:
        local: Video and audio rows of this process, unit length, (B, D) each.
        gathered: Rows of all processes, (N, D) each; the first `ROWS` are used.
        valid: bool (B,), samples with audio.
        valid_everywhere: bool (N,), the same for all processes.
    """
    video, audio = (rows[:ROWS].detach() for rows in gathered)
    return {
        "spread_video": spread(video),
        "spread_audio": spread(audio),
        "rank_video": effective_rank(video),
        "rank_audio": effective_rank(audio),
        "uniformity_video": uniformity(video),
        "misalignment": masked_mean(misalignment(*local), valid, valid_everywhere),
    }
