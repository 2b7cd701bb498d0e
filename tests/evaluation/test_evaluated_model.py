import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_videos import CLIP_FORMAT, Colors, model
from torch import nn

from stica_pv.evaluation import evaluated_model
from stica_pv.evaluation.baselines import ColorThumbnail, MeanSpectrum, MiddleFrame, StillFrame
from stica_pv.evaluation.evaluated_model import EvaluatedModel, code_hash, content_hash
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.tasks.encoders import VideoEncoder


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_the_hash_follows_weights_buffers_architecture_and_settings():
    def of(module: nn.Module, settings: str = "") -> str:
        return content_hash({"video": module}, settings)

    assert of(linear()) == of(linear())
    moved = linear()
    moved[1].running_mean += 1  # type: ignore[index, operator]
    others = [
        of(linear(1)),
        of(moved),
        of(nn.Sequential(linear(), nn.ReLU())),
        of(linear(), "x"),
        content_hash({"audio": linear()}),
    ]
    assert len({of(linear()), *others}) == 6


def test_the_hash_does_not_follow_the_layout_in_memory():
    conv = nn.Conv3d(2, 3, 2)
    before = content_hash({"video": conv})
    assert content_hash({"video": conv.to(memory_format=torch.channels_last_3d)}) == before  # type: ignore[call-overload]


def test_only_what_an_encoder_has_is_offered():
    plain = model("a", Colors())
    assert plain.offers(FeatureRequest())
    assert not plain.offers(FeatureRequest(layer="map"))
    assert not plain.offers(FeatureRequest("audio"))
    whole = VideoEncoder(nn.Identity(), nn.Identity(), (0.0,) * 3, (1.0,) * 3)
    with_map = replace(plain, encoders={"video": whole})
    assert with_map.offers(FeatureRequest(layer="map_max"))
    assert not with_map.offers(FeatureRequest(layer="projected"))
    trivial = EvaluatedModel("b", "baseline", {"video": ColorThumbnail()}, CLIP_FORMAT, "")
    assert trivial.offers(FeatureRequest(layer="map_max"))
    assert not trivial.offers(FeatureRequest(layer="projected"))


def test_a_clip_format_describes_itself():
    assert str(CLIP_FORMAT) == "2 frames at 4 fps, 4 px; audio of 0.5 s at 100 Hz"
    assert "4 px (3 px in training views); audio of" in str(replace(CLIP_FORMAT, train_size=3))


def test_a_thumbnail_is_the_mean_frame_in_sixteen_colors():
    video = torch.randint(0, 256, (2, 3, 5, 8, 8), dtype=torch.uint8)
    found = ColorThumbnail()(video)
    assert found.shape == (2, 48)
    assert torch.allclose(found[1].view(3, 4, 4)[2, 3, 0], video[1, 2, :, 6:, :2].float().mean())


def test_a_mean_spectrum_is_averaged_over_time():
    class Spectrogram(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(len(x), 1, 2, 3)

    assert MeanSpectrum(Spectrogram())(torch.tensor([[1.0, 2, 3, 4, 5, 9]])).tolist() == [[2.0, 6.0]]


def test_a_still_frame_is_the_middle_one_repeated():
    video = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(2, 3, 5, 4, 4)
    received: list[torch.Tensor] = []

    class Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            received.append(x)
            return x.flatten(1)

    StillFrame(Watch())(video)
    assert received[0].shape == video.shape
    assert set(received[0].flatten().tolist()) == {2.0}
    assert set(MiddleFrame()(video).flatten().tolist()) == {2.0}


def test_other_code_has_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for factor in (1, 2):
        text = f"import torch\nclass Own(torch.nn.Module):\n    def forward(self, x):\n        return {factor} * x\n"
        (tmp_path / "own_network.py").write_text(text)
        sys.modules.pop("own_network", None)
        evaluated_model._source_of.cache_clear()
        own = nn.Sequential(importlib.import_module("own_network").Own())
        found.append(code_hash(own))
        assert code_hash(own) == found[-1]
    assert len(set(found)) == 2
