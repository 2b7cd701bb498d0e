"""Weights of a trunk: fresh, from a file, or published by the library."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from library_models import av_slowfast, shake
from pytorchvideo.models import hub

from stica_pv.errors import UsageError
from stica_pv.models import create_backbone, create_r2plus1d_10, trunk_from_source
from stica_pv.registry import AUDIO_ENCODERS


@pytest.fixture(scope="module")
def x3d() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return shake(hub.x3d_xs()).state_dict()


def same(trunk: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    # exact: copied, not calculated
    return all(torch.equal(value, state[name]) for name, value in trunk.state_dict().items())


def test_file_of_the_library_fills_every_form_of_a_trunk(x3d, tmp_path: Path) -> None:
    torch.save({"model_state": x3d, "epoch": 3}, tmp_path / "x3d.pyth")
    assert same(create_backbone("x3d_xs", pretrained=tmp_path / "x3d.pyth"), x3d)
    assert same(trunk_from_source("pytorchvideo:x3d_xs", pretrained=str(tmp_path / "x3d.pyth")), x3d)
    with_head = create_backbone("x3d_xs", head_conv=True, pretrained=tmp_path / "x3d.pyth")
    assert same(with_head, x3d)
    assert "blocks.5.pool.pre_conv.weight" in with_head.state_dict()


def test_file_of_the_whole_audiovisual_slowfast_fills_each_of_its_parts(tmp_path: Path) -> None:
    state = shake(av_slowfast()).state_dict()
    path = tmp_path / "av.pyth"
    torch.save(state, path)
    for fusion in (False, True):
        assert same(create_backbone("av_slowfast_r50", width=8, fusion=fusion, pretrained=path), state)
    assert same(AUDIO_ENCODERS.get("av_slowfast_audio")(width=8, pretrained=path), state)


def test_published_weights_come_through_the_librarys_own_loading(x3d, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"model_state": x3d}, folder / "X3D_XS.pyth")
    assert same(create_backbone("x3d_xs", pretrained=True), x3d)
    assert same(trunk_from_source("pytorchvideo:x3d_xs", pretrained=True), x3d)
    s3d = shake(create_backbone("torchvision:s3d")).state_dict()
    head = {"classifier.1.weight": torch.zeros(400, 1024, 1, 1, 1), "classifier.1.bias": torch.zeros(400)}
    torch.save(s3d | head, folder / "s3d-d76dad2f.pth")
    assert same(create_backbone("s3d", pretrained=True), s3d)
    assert same(create_backbone("torchvision:s3d", pretrained=True), s3d)
    with pytest.raises(UsageError, match="published weights do not fit this trunk"):
        create_backbone("x3d_xs", width_factor=1.0, pretrained=True)


def test_weights_that_cannot_be_fetched_are_reported(monkeypatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("pytorchvideo.models.hub.x3d.load_state_dict_from_url", no_network)
    with pytest.raises(UsageError, match="cannot be downloaded .*no network.*give a file instead"):
        create_backbone("x3d_xs", pretrained=True)


def test_weights_that_nobody_publishes_are_reported() -> None:
    for name in ("r2plus1d_10", "slow_r101", "av_slowfast_r50"):
        with pytest.raises(UsageError, match="there are no published weights of this network"):
            create_backbone(name, width=8, pretrained=True)


def test_weights_of_another_network_are_refused(x3d, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(create_r2plus1d_10(width=8).state_dict(), path)
    with pytest.raises(UsageError, match="does not fit this trunk"):
        create_backbone("r2plus1d_10", width=4, pretrained=path)
    with pytest.raises(UsageError, match="does not fit this trunk"):
        create_backbone("x3d_xs", pretrained=path)
    with pytest.raises(UsageError, match="there is no such file"):
        create_backbone("x3d_xs", pretrained=tmp_path / "missing.pth")
