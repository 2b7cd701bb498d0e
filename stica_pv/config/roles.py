"""Roles of keys: what a key decides, and hence when it may change and where its value comes from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """What a key decides.

    Attributes:
        name: One word.
        description: Clause that says what the key decides.
        adopted: Whether an evaluation, an export or a fine-tuning takes the value from the checkpoint.
        builds_trunk: Whether fine-tuning takes the value from the checkpoint as well.
        free: Whether a resumed run may change the value.
        decides_results: Whether the final results depend on the value.
        equal_in_array: Whether all runs of an array job must have the same value.
    """

    name: str
    description: str
    adopted: bool = False
    builds_trunk: bool = False
    free: bool = False
    decides_results: bool = True
    equal_in_array: bool = False

    def rules(self) -> list[str]:
        """Describes the consequences, one sentence each."""
        if self.builds_trunk:
            taken = ["Evaluation, export and fine-tuning take the value from the checkpoint."]
        else:
            taken = ["Evaluation and export take the value from the checkpoint."] * self.adopted
        changed = "A resumed run may change it." if self.free else "A resumed run must not change it."
        equal = ["All runs of an array job must have the same value."] * self.equal_in_array
        return [*taken, changed, *equal]


TRUNK = Role("trunk", "builds the video trunk and its pooling head", adopted=True, builds_trunk=True)
NETWORK = Role("network", "builds the networks and the loss", adopted=True)
CLIP = Role("clip", "describes how clips are read and transformed", adopted=True)
DATA = Role("data", "selects the training data")
TRAINING = Role("training", "decides how the networks are trained")
SCOPE = Role("scope", "decides which data are found and how far the run goes", free=True)
EVALUATION = Role("evaluation", "decides how checkpoints are evaluated", free=True)
OUTPUT = Role("output", "decides what is written and where", free=True, decides_results=False)
FREE = Role("free", "does not change what is computed", free=True, decides_results=False)
JOB = Role(
    "job", "selects the machines of a run", free=True, decides_results=False, equal_in_array=True
)  # runs of an array share one batch script

ROLES = (TRUNK, NETWORK, CLIP, DATA, TRAINING, SCOPE, EVALUATION, OUTPUT, FREE, JOB)
