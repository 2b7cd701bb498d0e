"""GDT and STiCA checkpoints, tried with a stand-in that is written from the description of their layout."""

from pathlib import Path
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import pytest
import torch
from reference_stand_in import StandIn
from torch import Tensor
from torchvision.models.video import r2plus1d_18

from stica_pv.config import CfgNode
from stica_pv.engine.build_task import create_task
from stica_pv.errors import UsageError
from stica_pv.exchange import convert, implied_by
from stica_pv.exchange.convert import Conversion
from stica_pv.exchange.reference import reference_settings
from stica_pv.launch.configuration import configure
from stica_pv.losses import normalize
from stica_pv.weights import read_weights

ROOT = Path(__file__).resolve().parents[2]
FRAMES, SIZE = 16, 64
SMALL = ["DATA.NUM_FRAMES", str(FRAMES), "DATA.TRAIN_CROP_SIZE", str(SIZE), "DATA.TEST_CROP_SIZE", str(SIZE)]

VARIANTS: dict[str, dict[str, Any]] = {
    "stica": {},
    "one layer": {"layers": 1},
    "full attention": {"full": True},
    "positions": {"positions": True},
    "linear heads": {"linear_heads": True},
    "gdt": {"layers": 0},
    "gdt, linear heads": {"layers": 0, "linear_heads": True},
    "small trunk": {"blocks": 1},
}


def wrapped(state: dict[str, Tensor], wrapper: str, prefix: str) -> Any:
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    return {"epoch": 200, "optimizer": {"state": {}, "param_groups": []}, wrapper: named} if wrapper else named


def convert_file(path: Path, *overrides: str, layout: str = "auto") -> tuple[Conversion, CfgNode]:
    weights = read_weights(path)
    found = implied_by(weights, layout)
    arguments = [str(argument) for pair in found.settings.items() for argument in pair]
    cfg = configure(found.recipe, [*arguments, *SMALL, *overrides])
    return convert(weights, cfg, layout=layout), cfg


@torch.no_grad()
def embeddings(conversion: Conversion, cfg: CfgNode, video: Tensor, log_mel: Tensor) -> tuple[Tensor, Tensor]:
    """Of this package, with the weights of a conversion."""
    task = create_task(cfg)
    task.load_state_dict(conversion.checkpoint["model"])
    task.eval()
    video_rows, audio_rows = task.pool(task.backbone(video)), task.audio_tower(log_mel)
    return normalize(task.video_head(video_rows[None])[0]), normalize(task.audio_head(audio_rows[None])[0])


def largest_difference(stand_in: StandIn, path: Path, *overrides: str) -> float:
    conversion, cfg = convert_file(path, *overrides)
    assert conversion.random_parts == ()
    torch.manual_seed(1)
    video, log_mel = torch.randn(3, 3, FRAMES, SIZE, SIZE), torch.randn(3, 1, 40, 99)
    mine = embeddings(conversion, cfg, video, log_mel)
    theirs = stand_in.embed_video(video), stand_in.embed_audio(log_mel)
    assert float((theirs[0][0] - theirs[0][1]).abs().max()) > 1e-3  # clips differ, so equality means something
    return max(float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_converted_weights_give_the_embeddings_of_the_reference(tmp_path: Path, variant: str) -> None:
    stand_in = StandIn(**VARIANTS[variant])
    path = tmp_path / "reference.pth"
    torch.save(wrapped(stand_in.state_dict(), "state_dict", "module."), path)
    assert largest_difference(stand_in, path) < 1e-5


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_wrapping_gives_the_same_weights(tmp_path: Path, wrapper: str, prefix: str) -> None:
    state = StandIn().state_dict()
    path = tmp_path / "reference.pth"
    torch.save(wrapped(state, wrapper, prefix), path)
    conversion, _ = convert_file(path)
    model = conversion.checkpoint["model"]
    # exact: copied, not calculated
    assert torch.equal(model["backbone.layer4.1.conv2.1.weight"], state["video_network.base.layer4.1.conv2.1.weight"])
    # exact: copied, not calculated
    assert torch.equal(model["pool.layers.1.key.bias"], state["video_pooling.2.transformer.1.mha.k_lin.bias"])
    assert set(conversion.found.unused) == {"audio_network.base.fc.weight", "audio_network.base.fc.bias"}


@pytest.mark.slow
def test_weights_of_the_released_size_give_the_embeddings_of_the_reference(tmp_path: Path) -> None:
    stand_in = StandIn(width=64, hidden=512, outputs=256)
    trunk = stand_in.video_network.base.state_dict()
    theirs = {name: tensor for name, tensor in r2plus1d_18().state_dict().items() if not name.startswith("fc.")}
    assert {name: tensor.shape for name, tensor in trunk.items()} == {n: t.shape for n, t in theirs.items()}
    torch.save({"state_dict": stand_in.state_dict()}, tmp_path / "reference.pth")
    assert largest_difference(stand_in, tmp_path / "reference.pth") < 1e-5


def test_settings_follow_from_the_shapes() -> None:
    stica = implied(StandIn(full=True, positions=True, outputs=12))
    assert stica["MODEL.ARCH"] == "r2plus1d_18"
    assert (stica["MODEL.WIDTH"], stica["AUDIO.WIDTH"], stica["AUDIO.ARCH"]) == (4, 4, "resnet9")
    assert (stica["POOL.LAYERS"], stica["POOL.DIM"]) == (2, 32)
    assert stica["POOL.VALUE_PROJECTION"] is stica["POOL.POSITIONS"] is True
    assert (stica["HEAD.DIM"], stica["HEAD.HIDDEN_DIM"]) == (12, 16)
    assert "AUDIO.NUM_MEL_BINS" not in stica
    gdt = implied(StandIn(layers=0, linear_heads=True))
    assert (gdt["POOL.NAME"], gdt["HEAD.HIDDEN_DIM"]) == ("average", 0)
    assert (gdt["AUDIO.NUM_MEL_BINS"], gdt["AUDIO.MEAN"], gdt["AUDIO.STD"]) == (40, 1.93, 17.89)


def implied(stand_in: StandIn) -> dict[str, Any]:
    return reference_settings(stand_in.state_dict())


def test_the_checkpoint_carries_the_settings_and_where_it_comes_from(tmp_path: Path) -> None:
    torch.save(wrapped(StandIn(layers=0).state_dict(), "model", ""), tmp_path / "gdt.pth")
    conversion, _ = convert_file(tmp_path / "gdt.pth")
    config = CfgNode.load_cfg(conversion.checkpoint["config"])
    assert (config.POOL.NAME, config.AUDIO.NUM_MEL_BINS, config.AUDIO.LOG_MEL) == ("average", 40, "released")
    assert config.DATA.COLOR_STYLE == "released"
    converted = conversion.checkpoint["converted"]
    assert (converted["file"], converted["layout"], converted["about"]) == ("gdt.pth", "gdt", {"epoch": 200})
    assert len(converted["sha256"]) == 64


@pytest.mark.parametrize("part", ["mlp_", "audio_network."])
def test_a_part_that_is_absent_is_reported_and_one_that_is_broken_is_refused(tmp_path: Path, part: str) -> None:
    state = StandIn().state_dict()
    whole = {name: tensor for name, tensor in state.items() if not name.startswith(part)}
    torch.save(whole, tmp_path / "without.pth")
    conversion, _ = convert_file(tmp_path / "without.pth")
    expected = ("video_head", "audio_head") if part == "mlp_" else ("audio_tower",)
    assert conversion.random_parts == expected
    assert "initial weights instead: " + ", ".join(expected) in conversion.report()
    one = next(name for name in state if name.startswith(part) and name.endswith("weight"))
    torch.save({name: tensor for name, tensor in state.items() if name != one}, tmp_path / "broken.pth")
    with pytest.raises(UsageError, match=r"1 missing|has no audio_network"):
        convert_file(tmp_path / "broken.pth")


@pytest.mark.parametrize("name", ["video_network.base.layer5.0.weight", "video_pooling.2.norm.weight", "text.weight"])
def test_a_tensor_without_a_place_is_refused_by_name(tmp_path: Path, name: str) -> None:
    torch.save({**StandIn().state_dict(), name: torch.ones(3)}, tmp_path / "more.pth")
    with pytest.raises(UsageError, match=rf"1 unexpected, .*unexpected: {name} \(3,\)"):
        convert_file(tmp_path / "more.pth")


def test_networks_of_an_unknown_size_are_refused(tmp_path: Path) -> None:
    torch.save(StandIn(blocks=3).state_dict(), tmp_path / "deep.pth")
    with pytest.raises(UsageError, match=r"layer1 has 3 blocks per stage; expected one of \[1, 2\]"):
        convert_file(tmp_path / "deep.pth")


def test_a_file_without_the_trunk_is_refused(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in StandIn().state_dict().items() if not name.startswith("video_network")}
    torch.save(state, tmp_path / "audio.pth")
    with pytest.raises(UsageError, match="does not fit MODEL.ARCH r2plus1d_18"):
        convert_file(tmp_path / "audio.pth")
