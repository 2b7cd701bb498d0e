"""Every faster or leaner path gives the numbers of the plain one, within the tolerance stated here."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import losses, run_tiny, weights
from torch import nn

from stica_pv.engine.checkpoint import list_checkpoints

PLAIN = {"MODEL__CHANNELS_LAST": False, "HEAD__DROPOUT": 0.0, "SOLVER__BASE_LR": 0.01}


@pytest.fixture(scope="module")
def plain(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "run"
    run_tiny(clips_folder, folder, **PLAIN)
    return folder


def largest_difference(plain: Path, other: Path, *, steps: int = 6) -> float:
    """Returns the largest relative difference of the loss in the first steps."""
    pairs = list(zip(losses(plain)[:steps], losses(other)[:steps], strict=True))
    assert len(pairs) == steps
    return max(abs(a - b) / abs(a) for a, b in pairs)


@pytest.mark.parametrize(
    ("change", "steps", "tolerance"),
    [
        # Another order of additions. Later steps show nothing: batch-norm over four clips blows differences up.
        ({"MODEL__CHANNELS_LAST": True}, 1, 1e-4),
        ({"TRAIN__MIXED_PRECISION": True, "TRAIN__AMP_DTYPE": "fp16"}, 1, 5e-3),  # 11 bits
        ({"MODEL__ACT_CHECKPOINT": True}, 6, 1e-6),
        ({"SOLVER__FUSED": True}, 4, 1e-5),
        ({"TRAIN__GRAD_CACHE_CHUNK": 4}, 6, 1e-4),  # one chunk: the path, without another batch-norm
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_losses_of_a_run_stay_the_same(
    plain: Path, clips_folder: Path, tmp_path: Path, change: dict[str, Any], steps: int, tolerance: float
):
    run_tiny(clips_folder, tmp_path / "run", **(PLAIN | change))
    assert largest_difference(plain, tmp_path / "run", steps=steps) <= tolerance
    assert weights(plain).keys() == weights(tmp_path / "run").keys()


def test_a_bf16_step_has_the_loss_of_the_plain_one_within_its_eight_bits(
    plain: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # On the CPU the path is refused for the sake of oneDNN's gradients; PyTorch's own convolutions are right.
    monkeypatch.setattr("stica_pv.workflows.run.check_solver", lambda cfg, groups, device: None)
    with torch.backends.mkldnn.flags(enabled=False):
        run_tiny(clips_folder, tmp_path / "run", **PLAIN, TRAIN__MIXED_PRECISION=True, TRAIN__MAX_STEPS=1)
    assert largest_difference(plain, tmp_path / "run", steps=1) <= 2e-2


@pytest.mark.slow
def test_a_compiled_run_has_the_same_losses_and_names(
    plain: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Without code generation, which takes minutes on two cores; what is compiled, and under which names, is the same.
    compiled: list[str] = []

    def compile_without_code(self: nn.Module, **settings: Any) -> None:
        compiled.append(type(self).__name__)
        original(self, backend="aot_eager", **settings)

    original = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", compile_without_code)
    run_tiny(clips_folder, tmp_path / "run", **PLAIN, TRAIN__COMPILE=True, TRAIN__MAX_STEPS=1)
    assert {"VideoResNet", "AudioResNet"} <= set(compiled)
    assert largest_difference(plain, tmp_path / "run", steps=1) <= 1e-4
    assert weights(plain).keys() == weights(tmp_path / "run").keys()


def test_checkpoints_after_multiples_stay_for_good(clips_folder: Path, tmp_path: Path):
    settings = PLAIN | {"SOLVER__MAX_EPOCH": 5, "TRAIN__CHECKPOINT_KEEP": 1, "TRAIN__CHECKPOINT_KEEP_EVERY": 2}
    run_tiny(clips_folder, tmp_path / "run", **settings)
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == [
        f"step_{step:08d}.pyth" for step in (6, 12, 15)
    ]
