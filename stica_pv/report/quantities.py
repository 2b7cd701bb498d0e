"""Titles, units and order of the logged values on a page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """Display of one logged value.

    Attributes:
        title: Title of the chart.
        unit: Label of its axis, with the unit.
        scale: Factor that the value is multiplied by.
    """

    title: str
    unit: str
    scale: float = 1.0


LOSS = "loss (nats)"
EXACT = {
    "loss": Quantity("Loss, all terms", "loss"),
    "loss_cross": Quantity("Cross-modal loss", LOSS),
    "loss_within": Quantity("Within-modal loss", LOSS),
    "loss_space": Quantity("Loss of spatial crops", LOSS),
    "loss_time": Quantity("Loss of temporal crops", LOSS),
    "accuracy": Quantity("Accuracy in the batch", "share of the clips (%)", 100),
    "accuracy_cross": Quantity("Video-to-audio accuracy in the batch", "share of the clips (%)", 100),
    "lr": Quantity("Learning rate", "learning rate"),
    "grad_norm": Quantity("Gradient norm", "norm"),
    "audio_share": Quantity("Clips with audio", "share of the clips (%)", 100),
    "misalignment": Quantity("Distance of a clip to its own audio", "squared distance, 0 to 4"),
    "samples_per_second": Quantity("Speed", "clips per second"),
    "step_time": Quantity("Step time", "seconds"),
    "data_time": Quantity("Data wait per step", "seconds"),
    "data_share": Quantity("Data wait", "share of the time (%)", 100),
    "memory_mb": Quantity("Peak memory", "memory (GiB)", 1 / 1024),
    "online_knn/top1": Quantity("Online kNN", "top-1 accuracy (%)"),
    "online_linear/top1": Quantity("Online linear probe", "top-1 accuracy (%)"),
}
STARTS = {
    "loss_": ("Loss, {}", "loss"),
    "accuracy_": ("Accuracy in the batch, {}", "share (0 to 1)"),
    "spread_": ("Spread of {} embeddings", "spread, 0 to 1"),
    "rank_": ("Effective rank, {}", "effective rank"),
    "rankme_": ("RankMe, {}", "effective rank"),
    "lidar_": ("LiDAR, {}", "effective rank"),
    "uniformity_": ("Uniformity of {} embeddings", "log of a mean, −8 to 0"),
}

# Values that share the beginning of their name are one chart of a single run.
GROUPS = {
    "loss_": "Loss terms",
    "accuracy_": "Accuracy in the batch",
    "spread_": "Spread of the embeddings",
    "rank_": "Effective rank",
    "uniformity_": "Uniformity of the embeddings",
}
PARTS = {
    "cross": "cross-modal",
    "within": "within-modal",
    "space": "spatial crops",
    "time": "temporal crops",
    "video": "video",
    "audio": "audio",
}
# Numbers of their colors, the same in every chart; 0 is the color of a whole run and of its trained network.
SERIES_OF = {"audio": 1, "video": 2, "cross": 3, "within": 4, "space": 5, "time": 6}

LOSSES = ("loss",)
SPEED = ("samples_per_second", "data_share", "step_time", "data_time", "memory_mb")
ONLINE = ("online_",)
NO_QUANTITY = ("_type", "step", "epoch", "epoch_end")


def quantity(name: str) -> Quantity:
    """Return the display of a logged value; a value without a description keeps its name."""
    if name in EXACT:
        return EXACT[name]
    for start, (title, unit) in STARTS.items():
        if name.startswith(start):
            return Quantity(title.format(name.removeprefix(start).replace("_", " ")), unit)
    return Quantity(name, "value")


def group_of(name: str) -> str:
    """Return the beginning of the name that groups values; empty if the value is alone."""
    return next((start for start in GROUPS if name.startswith(start)), "")


def part_of(name: str) -> str:
    """Return the part of a grouped name that distinguishes it from the others of its group."""
    return name.removeprefix(group_of(name))


def is_of(name: str, starts: tuple[str, ...]) -> bool:
    """Return whether a value belongs to a group."""
    return name.startswith(starts)
