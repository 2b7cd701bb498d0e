"""The adapter of HEAR: its documented interface, and the checks of its own validator where that is installed."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.exchange import load_encoder
from stica_pv.interop import hear

STEP_MS = 50.0


@pytest.fixture(scope="module")
def model(trained_16k: Path) -> hear.HearModel:
    return hear.load_model(str(trained_16k))


def noise(model: hear.HearModel, windows: float, count: int = 2) -> Tensor:
    return torch.rand(count, int(windows * model.window), generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_recording_of_one_window_gives_the_embedding_of_the_encoder(model: hear.HearModel, trained_16k: Path) -> None:
    audio = noise(model, 1)
    with torch.no_grad():
        expected = load_encoder(trained_16k, "audio")(audio)
    scenes = hear.get_scene_embeddings(audio, model)
    assert scenes.dtype == torch.float32
    assert scenes.shape == (2, model.scene_embedding_size)
    assert torch.allclose(scenes, expected, atol=1e-5)


def test_a_long_recording_is_covered_to_its_end(model: hear.HearModel) -> None:
    audio = noise(model, 2.5)
    with torch.no_grad():
        parts = [audio[:, : model.window], audio[:, model.window : 2 * model.window], audio[:, -model.window :]]
        expected = torch.stack([model.encoder(part) for part in parts]).mean(dim=0)
    assert torch.allclose(hear.get_scene_embeddings(audio, model), expected, atol=1e-5)


def test_a_short_recording_is_padded_with_silence_at_its_end(model: hear.HearModel) -> None:
    audio = noise(model, 0.5)
    padded = torch.nn.functional.pad(audio, (0, model.window - audio.shape[1]))
    expected = hear.get_scene_embeddings(padded, model)
    assert torch.allclose(hear.get_scene_embeddings(audio, model), expected, atol=1e-5)


def test_a_time_is_the_center_of_its_window(model: hear.HearModel) -> None:
    audio = noise(model, 3, count=1)
    embeddings, times = hear.get_timestamp_embeddings(audio, model)
    assert embeddings.shape[:2] == times.shape
    assert embeddings.shape[2] == model.timestamp_embedding_size
    assert torch.allclose(times.diff(), torch.tensor(STEP_MS), atol=1e-3)
    at = times.shape[1] // 2
    start = round(float(times[0, at]) * 16) - model.window // 2
    with torch.no_grad():
        expected = model.encoder(audio[:, start : start + model.window])
    assert torch.allclose(embeddings[:, at], expected, atol=1e-5)


def test_the_batch_changes_nothing(model: hear.HearModel) -> None:
    audio = noise(model, 2, count=3)
    together = hear.get_timestamp_embeddings(audio, model)[0]
    assert torch.allclose(together[1:2], hear.get_timestamp_embeddings(audio[1:2], model)[0], atol=1e-5)


def test_wrong_input_is_one_line(model: hear.HearModel, trained_16k: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hear, "RATES_HZ", (22050, 48000))
    with pytest.raises(UsageError, match="16000 Hz, HEAR has 22050, 48000 Hz"):
        hear.load_model(str(trained_16k))
    with pytest.raises(UsageError, match="no weights"):
        hear.load_model()
    with pytest.raises(UsageError, match=r"expected float \(B, S\)"):
        hear.get_scene_embeddings(torch.zeros(5), model)


def test_the_validator_of_hear_passes(
    trained_16k: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "needs `pip install hearvalidator`, which installs TensorFlow"
    pytest.importorskip("tensorflow", reason=reason)
    validate = pytest.importorskip("hearvalidator.validate", reason=reason)
    arguments = ["stica_pv.interop.hear", "--model", str(trained_16k), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["hear-validator", *arguments])
    validate.main()
    assert "Looks good!" in capsys.readouterr().out
