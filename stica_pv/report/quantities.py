"""What the numbers of a run are called on a page, with their units, and in which order they are shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """How one number is shown.

    Attributes:
        title: Its name in words.
        unit: Name of its axis, with the unit.
        scale: It is multiplied by this.
    """

    title: str
    unit: str
    scale: float = 1.0


LOSS = "loss (nats)"
EXACT = {
    "loss": Quantity("Loss, all terms", "loss"),
    "loss_cross": Quantity("Loss between image and audio", LOSS),
    "loss_within": Quantity("Loss within the images", LOSS),
    "loss_space": Quantity("Loss of the crops in space", LOSS),
    "loss_time": Quantity("Loss of the crops in time", LOSS),
    "accuracy": Quantity("Own partner found in the batch", "share of the clips (%)", 100),
    "accuracy_cross": Quantity("Own audio found in the batch", "share of the clips (%)", 100),
    "lr": Quantity("Learning rate", "learning rate"),
    "grad_norm": Quantity("Length of the gradient", "norm"),
    "audio_share": Quantity("Clips with audio", "share of the clips (%)", 100),
    "misalignment": Quantity("Distance of a clip to its own audio", "squared distance, 0 to 4"),
    "samples_per_second": Quantity("Speed", "clips a second"),
    "step_time": Quantity("Time of a step", "seconds"),
    "data_time": Quantity("Wait for data in a step", "seconds"),
    "data_share": Quantity("Wait for data", "share of the time (%)", 100),
    "memory_mb": Quantity("Peak memory", "memory (GiB)", 1 / 1024),
    "online_knn/top1": Quantity("kNN on held-out training clips", "classified rightly (%)"),
}
STARTS = {
    "loss_": ("Loss, {}", "loss"),
    "accuracy_": ("Partner found, {}", "share (0 to 1)"),
    "spread_": ("Spread of the {} vectors", "spread, 0 to 1"),
    "rank_": ("Directions in use, {}", "effective rank"),
    "uniformity_": ("Uniformity of the {} vectors", "log of a mean, -8 to 0"),
}

LOSSES, MONITORS = ("loss",), ("spread", "rank", "uniformity", "misalignment")
SPEED = ("samples_per_second", "data_share", "step_time", "data_time", "memory_mb")
KNN = ("online_knn",)
NO_QUANTITY = ("_type", "step", "epoch", "epoch_end")


def quantity(name: str) -> Quantity:
    """Returns how a number of the records is shown; one that nobody described keeps its name."""
    if name in EXACT:
        return EXACT[name]
    for start, (title, unit) in STARTS.items():
        if name.startswith(start):
            return Quantity(title.format(name.removeprefix(start).replace("_", " ")), unit)
    return Quantity(name, "value")


def is_of(name: str, starts: tuple[str, ...]) -> bool:
    """Whether a number belongs to a group."""
    return name.startswith(starts)
