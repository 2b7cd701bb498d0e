import json
import sys
from pathlib import Path
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import pytest
import torch
from tiny_runs import tiny_cfg
from torch import nn

from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import create_task
from stica_pv.errors import UsageError
from stica_pv.exchange import load_encoder, load_trunk_of, read_described
from stica_pv.exchange.described import EXPORT_FORMAT, HEADER


def clips(modality: str, count: int = 2) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    if modality == "video":
        return torch.randint(0, 256, (count, 3, 4, 32, 32), dtype=torch.uint8, generator=rng)
    return torch.rand(count, 4000, generator=rng) - 0.5


@torch.no_grad()
def features_of_the_task(path: Path, modality: str) -> torch.Tensor:
    """What the task itself computes, without any code of this folder."""
    task = create_task(tiny_cfg(Path("."), Path(".")))
    task.load_state_dict(load_checkpoint(path)["model"])
    return task.eval().encoders()[modality](clips(modality))


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_a_checkpoint_alone_gives_the_encoder(trained: Path, modality: str) -> None:
    encoder = load_encoder(trained, modality)
    assert not encoder.training
    with torch.no_grad():
        assert torch.allclose(encoder(clips(modality)), features_of_the_task(trained, modality), rtol=1e-5, atol=1e-6)


def test_the_trunk_gives_the_map_of_normalised_frames(trained: Path) -> None:
    video = (clips("video").float() / 255 - 0.45) / 0.225
    with torch.no_grad():
        expected = load_encoder(trained)(clips("video"), layer="map")
        assert torch.allclose(load_trunk_of(trained)(video), expected, atol=1e-6)


def test_loading_leaves_the_random_numbers_of_the_caller_alone(trained: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_encoder(trained)
    assert torch.equal(torch.rand(4), expected)  # exact: the same generators draw the same


def test_a_trunk_that_saved_memory_in_training_is_built_without_it(trained: Path, tmp_path: Path) -> None:
    content = load_checkpoint(trained)
    content["config"] = content["config"].replace("ACT_CHECKPOINT: false", "ACT_CHECKPOINT: true")
    assert "ACT_CHECKPOINT: true" in content["config"]
    torch.save(content, tmp_path / "saving.pyth")
    assert not any("Recomputing" in type(part).__name__ for part in load_trunk_of(tmp_path / "saving.pyth").modules())


def test_a_file_of_weights_alone_is_refused(tmp_path: Path) -> None:
    torch.save({"stem.weight": torch.ones(1)}, tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="weights without the configuration .*`stica-pv convert`"):
        read_described(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"backbone.stem.0.weight": torch.ones(1)}}, "does not match the networks of its own configuration"),
        ({"config": "MODEL: {ARHC: x}\n"}, "unknown key MODEL.ARHC"),
        ({"config": "MODEL: {ARCH: r2plus1d_99}\n"}, "no video backbone is called 'r2plus1d_99'"),
    ],
)
def test_a_checkpoint_that_contradicts_itself_is_refused(
    trained: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    torch.save({**load_checkpoint(trained), **change}, tmp_path / "odd.pyth")
    with pytest.raises(UsageError, match=message):
        load_encoder(tmp_path / "odd.pyth")


def test_an_unknown_modality_is_refused(trained: Path) -> None:
    with pytest.raises(UsageError, match=r"modality: got 'vidio' \(did you mean video\?\)"):
        load_encoder(trained, "vidio")


def test_a_file_does_not_start_code_that_it_names(trained: Path, tmp_path: Path) -> None:
    content = load_checkpoint(trained)
    content["config"] = content["config"].replace("ARCH: r2plus1d_10", "ARCH: antigravity:fly")
    torch.save(content, tmp_path / "odd.pyth")
    with pytest.raises(UsageError, match="MODEL.ARCH antigravity:fly names code, .*--import antigravity"):
        load_encoder(tmp_path / "odd.pyth")
    assert "antigravity" not in sys.modules


class _Wrapped(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Conv3d(3, width, 1)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return self.model(video)


def wrapped_trunk(width: int) -> nn.Module:
    return _Wrapped(width)


def test_names_that_all_begin_alike_are_kept(trained: Path, tmp_path: Path) -> None:
    content = load_checkpoint(trained)
    config = content["config"].replace("ARCH: r2plus1d_10", f"ARCH: {__name__}:wrapped_trunk")
    trunk = wrapped_trunk(4)
    tensors = {f"model.{name}": tensor for name, tensor in trunk.model.state_dict().items()}
    header = {"format": EXPORT_FORMAT, "what": "trunk", "modality": "video", "config": config}
    path = tmp_path / "x.safetensors"
    pytest.importorskip("safetensors.torch").save_file(tensors, path, {HEADER: json.dumps(header)})
    with pytest.raises(UsageError, match="names code"):  # though it is imported already
        load_trunk_of(path)
    loaded = load_trunk_of(path, imports=[__name__]).model
    assert torch.equal(loaded.weight, trunk.model.weight)  # exact: copied, not calculated


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "is malformed: its header is not JSON"),
        ("[1]", "is malformed: its header is not a JSON object"),
        (json.dumps({"format": EXPORT_FORMAT}), "is malformed: config is 'missing'"),
        (json.dumps({"format": EXPORT_FORMAT, "config": 5}), "is malformed: config is 5"),
        (json.dumps({"format": EXPORT_FORMAT, "config": "", "what": "virus"}), "is malformed: what is 'virus'"),
        (json.dumps({"format": EXPORT_FORMAT, "config": "", "step": "x"}), "is malformed: step is 'x'"),
        (json.dumps({"format": EXPORT_FORMAT, "config": "", "converted": {}}), "is malformed: converted is {}"),
        (json.dumps({"format": "stica_pv checkpoint 7", "shards": 3}), "update stica_pv"),
        (json.dumps({"format": EXPORT_FORMAT, "config": "A: ["}), "not valid YAML"),
    ],
)
def test_an_export_with_a_malformed_header_is_refused_in_one_line(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "x.safetensors"
    pytest.importorskip("safetensors.torch").save_file({"w": torch.ones(1)}, path, {HEADER: header})
    with pytest.raises(UsageError, match=message) as raised:
        load_trunk_of(path)
    assert "\n" not in str(raised.value)
