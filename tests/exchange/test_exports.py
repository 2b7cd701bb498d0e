"""What is exported and loaded again gives the features of the checkpoint; programs too, run by their runtimes."""

import json
from pathlib import Path
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import pytest
import torch
from full_disk import full_disk
from tiny_runs import run_tiny
from torch import Tensor
from torchvision.models.video import r2plus1d_18

import stica_pv.exchange.exports as module
from stica_pv.engine import load_checkpoint
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import RunFailed, UsageError
from stica_pv.exchange import ExportRequest, export, load_encoder, load_trunk_of
from stica_pv.exchange.graphs import TORCHSCRIPT, Program
from stica_pv.models import create_r2plus1d_10
from stica_pv.weights import load_trunk

WEIGHTS = ("encoder.pth", "encoder.safetensors", "task.pth", "task.safetensors")


@pytest.fixture
def extra() -> None:
    """Skips where the optional programs are not installed."""
    for name in ("safetensors", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="needs the extra `export`")


def write(source: Path, target: Path, **request: Any) -> Path:
    return export(ExportRequest(str(source), target, **request)).file


def audio(count: int = 2) -> Tensor:
    return torch.rand(count, 4000, generator=torch.Generator().manual_seed(1)) - 0.5


def frames(count: int = 2) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 4, 32, 32), dtype=torch.uint8, generator=rng)


@torch.no_grad()
def largest_difference(mine: Any, theirs: Any, clips: Tensor) -> float:
    first, second = mine(clips), theirs(clips)
    assert first.shape == second.shape
    assert float(first.abs().max()) > 1e-3
    return float((first - second).abs().max())


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize(("modality", "clips"), [("video", frames), ("audio", audio)])
def test_weights_come_back_as_they_were(
    trained: Path, tmp_path: Path, extra: None, name: str, modality: str, clips: Any
) -> None:
    target = write(trained, tmp_path / name, what=name.split(".")[0], modality=modality)
    assert target.stat().st_mode == target.with_name(f"{name}.md").stat().st_mode  # whoever reads the card can use it
    assert largest_difference(load_encoder(target, modality), load_encoder(trained, modality), clips()) == 0


def test_a_light_checkpoint_is_a_checkpoint_without_what_only_training_needs(trained: Path, tmp_path: Path) -> None:
    light = load_checkpoint(write(trained, tmp_path / "light.pth", what="task"))
    whole = load_checkpoint(trained)
    assert light.keys() == whole.keys()
    assert light["optimizer"] == light["meter"] == {}
    assert all(light[name] == whole[name] for name in ("config", "step", "epoch_size", "list_hash"))
    # exact: copied, not calculated
    assert all(torch.equal(light["model"][name], tensor) for name, tensor in whole["model"].items())
    assert (tmp_path / "light.pth").stat().st_size < 0.7 * trained.stat().st_size


@pytest.mark.parametrize("name", ["trunk.pth", "trunk.safetensors"])
def test_a_trunk_has_the_plain_names_and_is_loaded_again(trained: Path, tmp_path: Path, extra: None, name: str) -> None:
    target = write(trained, tmp_path / name)
    trunk = create_r2plus1d_10(width=4).eval()
    assert load_trunk(trunk, target).fits
    video = torch.randn(2, 3, 4, 32, 32)
    assert largest_difference(trunk, load_trunk_of(trained), video) < 1e-6
    if name.endswith("safetensors"):
        assert largest_difference(load_trunk_of(target), load_trunk_of(trained), video) == 0


@pytest.mark.slow
def test_a_trunk_trained_here_is_torchvisions_without_renaming(clips_folder: Path, tmp_path: Path) -> None:
    run_tiny(clips_folder, tmp_path / "run", MODEL__ARCH="r2plus1d_18", MODEL__WIDTH=64, TRAIN__MAX_STEPS=1)
    checkpoint = list_checkpoints(tmp_path / "run")[-1]
    target = write(checkpoint, tmp_path / "trunk.pth")
    plain = r2plus1d_18().eval()
    before = plain.stem[0].weight.clone()
    outcome = plain.load_state_dict(torch.load(target, weights_only=True), strict=False)
    assert outcome.missing_keys == ["fc.weight", "fc.bias"]
    assert outcome.unexpected_keys == []
    assert not torch.equal(before, plain.stem[0].weight)
    plain.fc = torch.nn.Identity()
    ours = load_encoder(checkpoint)

    def mean_of_map(video: Tensor) -> Tensor:
        return ours.backbone(video).mean(dim=(2, 3, 4))

    assert largest_difference(plain, mean_of_map, torch.randn(2, 3, 8, 48, 48)) < 1e-6


# The compilers behind the two take a while.
COMPILED = [pytest.param(suffix, marks=pytest.mark.slow) for suffix in (".pt2", ".onnx")]


@pytest.mark.parametrize("suffix", [".ts", *COMPILED])
def test_programs_of_the_video_encoder_are_checked_by_running_them(
    trained: Path, tmp_path: Path, extra: None, suffix: str
) -> None:
    written = export(ExportRequest(str(trained), tmp_path / f"clip{suffix}", "encoder"))
    assert "at batch 1 and 3: largest difference" in written.check
    run = module.PROGRAMS[ExportRequest("", written.file).resolved_format()].open(written.file)
    assert run is not None
    features = run(frames(5))
    features = features if isinstance(features, Tensor) else features[0]
    with torch.no_grad():
        assert float((features - load_encoder(trained)(frames(5))).abs().max()) < 1e-4


@pytest.mark.parametrize("suffix", [".ts", *COMPILED])
def test_programs_of_the_audio_encoder_are_checked_by_running_them(
    trained: Path, tmp_path: Path, extra: None, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = export(ExportRequest(str(trained), tmp_path / f"clip{suffix}", "encoder", "audio"))
    assert "largest difference" in written.check
    assert "Unable to load" not in caplog.text


@pytest.mark.parametrize(("version", "deprecated"), [("2.6.0+cpu", False), ("2.14.1+cu130", True), ("3.0.0", True)])
def test_the_export_of_torchscript_says_that_it_is_deprecated(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, deprecated: bool
) -> None:
    monkeypatch.setattr(module.torch, "__version__", version)
    written = export(ExportRequest(str(trained), tmp_path / "trunk.ts"))
    assert ("export a .pt2 (torch.export) instead" in written.check) == deprecated


@pytest.mark.parametrize(("layer", "width"), [("pooled", 32), ("projected", 8)])
def test_the_layer_of_a_program_can_be_chosen(trained: Path, tmp_path: Path, layer: str, width: int) -> None:
    target = write(trained, tmp_path / "video.ts", what="encoder", layer=layer)
    assert torch.jit.load(str(target))(frames()).shape == (2, width)


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_trunks_become_programs_too(trained: Path, tmp_path: Path, modality: str) -> None:
    assert "largest difference" in export(ExportRequest(str(trained), tmp_path / "trunk.ts", modality=modality)).check


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"target": "x.pkl"}, r"no format has the suffix '.pkl'; expected one of .safetensors \(safetensors\), .pth"),
        ({"target": "x.pth", "format": "onxx"}, r"--format: got 'onxx' \(did you mean onnx\?\)"),
        ({"target": "x.pth", "format": "onnx"}, r"x.pth: format onnx needs the suffix .onnx"),
        ({"target": "x.pth", "what": "encodr"}, r"--what: got 'encodr' \(did you mean encoder\?\)"),
        ({"target": "x.pth", "modality": "speech"}, r"--modality: got 'speech'; expected one of video, audio"),
        ({"target": "x.ts", "what": "encoder", "layer": "pool"}, r"--layer: got 'pool' \(did you mean pooled\?\)"),
        ({"target": "x.pth", "what": "encoder", "layer": "map"}, "--layer is for programs"),
        ({"target": "x.ts", "layer": "map"}, "--layer is for --what encoder, got trunk"),
        ({"target": "x.onnx", "what": "task"}, "--format onnx needs --what encoder or trunk, got task"),
    ],
)
def test_a_wrong_request_is_refused_and_leaves_nothing(
    trained: Path, tmp_path: Path, request_: dict[str, str], message: str
) -> None:
    target = tmp_path / request_.pop("target")
    with pytest.raises(UsageError, match=message):
        export(ExportRequest(str(trained), target, **request_))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.pth", "x.pth.md"])
def test_neither_file_nor_card_is_overwritten(trained: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("old")
    with pytest.raises(UsageError, match=f"{name} exists already"):
        write(trained, tmp_path / "x.pth")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "old")]


def test_an_exported_encoder_can_be_exported_on_but_not_as_more_than_it_holds(trained: Path, tmp_path: Path) -> None:
    encoder = write(trained, tmp_path / "encoder.pth", what="encoder", modality="audio")
    trunk = write(encoder, tmp_path / "trunk.pth", modality="audio")
    assert "conv1.weight" in torch.load(trunk, weights_only=True)
    with pytest.raises(UsageError, match="holds audio, expected video"):
        write(encoder, tmp_path / "video.pth")
    with pytest.raises(UsageError, match="holds one encoder: use --what encoder"):
        write(encoder, tmp_path / "task.pth", what="task")


@pytest.mark.parametrize(
    ("change", "message"), [(lambda x: x * 1.001, "differs from the network by"), (lambda x: x[:1], "returns .* for 3")]
)
def test_a_program_with_wrong_numbers_is_not_kept(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    def open_wrong(path: Path) -> Any:
        run = TORCHSCRIPT.open(path)
        assert run is not None
        return lambda clips: change(run(clips))

    wrong = Program(TORCHSCRIPT.write, open_wrong, TORCHSCRIPT.tolerance, "a broken runtime")
    monkeypatch.setitem(module.PROGRAMS, "torchscript", wrong)
    with pytest.raises(RunFailed, match=message):
        write(trained, tmp_path / "x.ts")
    assert list(tmp_path.iterdir()) == []


def test_without_a_runtime_the_check_says_so(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(TORCHSCRIPT.write, lambda path: None, TORCHSCRIPT.tolerance, "some runtime")
    monkeypatch.setitem(module.PROGRAMS, "torchscript", program)
    written = export(ExportRequest(str(trained), tmp_path / "x.ts"))
    assert written.check.startswith("not checked: some runtime is not installed")  # torch 2.14 adds a deprecation


def test_what_a_format_cannot_express_is_reported_in_one_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise NotImplementedError("no such\n operator")

    program = Program(fail, TORCHSCRIPT.open, TORCHSCRIPT.tolerance, "some runtime")
    monkeypatch.setitem(module.PROGRAMS, "torchscript", program)
    with pytest.raises(UsageError, match=r"^torchscript cannot express this video trunk \(Not\w+: no such op"):
        write(trained, tmp_path / "x.ts")


@pytest.mark.parametrize("name", ["x.ts", "x.pth", "x.safetensors"])
def test_a_full_disk_is_no_fault_of_the_format(trained: Path, tmp_path: Path, extra: None, name: str) -> None:
    with full_disk(), pytest.raises(UsageError, match=rf"^cannot write .*{name}: [^\n]*File too large"):
        write(trained, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_header_of_safetensors_is_text_for_anybody(trained: Path, tmp_path: Path, extra: None) -> None:
    from safetensors import safe_open

    with safe_open(write(trained, tmp_path / "x.safetensors"), framework="pt") as file:
        header = json.loads(file.metadata()["stica_pv"])
    assert (header["what"], header["modality"], header["step"]) == ("trunk", "video", 3)
    assert "r2plus1d_10" in header["config"]
