"""STiCA trained by two processes, as a run sets them up, against one process on the same global batch."""

from typing import Any

import pytest
import torch
from two_processes import STEPS, TASKS, create_task, train

Two = list[dict[str, Any]]
Notes = list[dict[str, Any]]

TOLERANCE = {"rtol": 0, "atol": 1e-9}  # the second step starts from weights that the first has made


@pytest.fixture(scope="module", params=TASKS)
def pair(request: pytest.FixtureRequest, two: Two) -> tuple[list[Notes], Notes]:
    """Notes of the two processes and of the one, step by step."""
    task = create_task(request.param)
    return [result["task"][request.param] for result in two], train(task, task, slice(None))


def test_losses_and_logged_numbers_average_to_those_of_one_process(pair: tuple[list[Notes], Notes]) -> None:
    parts, one = pair
    for step in range(STEPS):
        for name, value in one[step]["scalars"].items():
            mean = torch.stack([notes[step]["scalars"][name].double() for notes in parts]).mean()
            assert torch.allclose(mean, value.double(), rtol=0, atol=1e-6 if name == "audio_share" else 1e-9), name


def test_averaged_gradients_equal_those_of_one_process(pair: tuple[list[Notes], Notes]) -> None:
    parts, one = pair
    for step in range(STEPS):
        for name, gradient in one[step]["grads"].items():
            for notes in parts:
                assert torch.allclose(notes[step]["grads"][name], gradient, **TOLERANCE), name
        assert any(gradient.abs().max() > 1e-3 for gradient in one[step]["grads"].values())


def test_batch_norm_statistics_equal_those_of_one_process(pair: tuple[list[Notes], Notes]) -> None:
    parts, one = pair
    for step in range(STEPS):
        assert any("running_var" in name for name in one[step]["buffers"])
        for name, buffer in one[step]["buffers"].items():
            for notes in parts:
                assert torch.allclose(notes[step]["buffers"][name], buffer, **TOLERANCE), name


def test_processes_share_the_audio_unevenly(pair: tuple[list[Notes], Notes]) -> None:
    shares = [round(3 * notes[0]["scalars"]["audio_share"].item()) for notes in pair[0]]
    assert shares == [1, 3]
