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


# Numbers that several methods report; a method adds its own.
DESCRIPTIONS = {
    "loss": "Loss that the step minimizes.",
    "loss_cross": "Contrastive loss between video and audio, in nats; log(negatives + 1) before anything is learned.",
    "loss_within": "Contrastive loss between the crops of the two views of a video, in nats.",
    "loss_space": "Part of the loss within the frames that compares spatial crops.",
    "loss_time": "Part of the loss within the frames that compares temporal crops.",
    "accuracy": "Share of the clips whose positive is the nearest in the batch, 0 to 1.",
    "accuracy_cross": "Share of the clips whose own audio is the nearest in the batch, 0 to 1.",
    "audio_share": "Share of the clips with audio, 0 to 1.",
    "spread_video": "Mean standard deviation of the dimensions of video embeddings, times the root of their number: "
    "0 if all are equal (collapse), 1 if they are spread over the sphere.",
    "spread_audio": "The same for audio embeddings.",
    "rank_video": "Effective rank of the video embeddings: number of directions in use (participation ratio).",
    "rank_audio": "The same for audio embeddings.",
    "uniformity_video": "Log of the mean of exp(-2 d²) over pairs of video embeddings (Wang & Isola 2020): "
    "0 if all are equal, about -4 if they are spread over the sphere.",
    "misalignment": "Mean squared distance of a clip to its own audio, 0 to 4.",
}
MONITORED = ("spread_video", "spread_audio", "rank_video", "rank_audio", "uniformity_video", "misalignment")


def described(*names: str) -> dict[str, str]:
    """Returns the descriptions of some of these numbers."""
    return {name: DESCRIPTIONS[name] for name in names}
