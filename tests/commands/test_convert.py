"""`stica-pv convert`, and what its files are good for."""

import argparse
import json
from pathlib import Path
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import numpy as np
import pytest
import torch
import yaml
from exchange.reference_stand_in import StandIn
from tiny_runs import run_tiny, tiny_cfg
from torchvision.models.video import r2plus1d_18

from stica_pv.commands import convert
from stica_pv.engine.build_task import create_task
from stica_pv.exchange import load_trunk_of
from stica_pv.exchange.described import HEADER

CLIP = ["DATA.NUM_FRAMES", "4", "DATA.TARGET_FPS", "8", "DATA.TRAIN_CROP_SIZE", "32", "DATA.TEST_CROP_SIZE", "32"]
TINY_AUDIO = ["AUDIO.SAMPLE_RATE", "8000", "AUDIO.NUM_MEL_BINS", "16", "AUDIO.N_FFT", "512"]


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "reference.pth"
    state = {f"module.{name}": tensor for name, tensor in StandIn(seed=3).state_dict().items()}
    torch.save({"epoch": 100, "state_dict": state}, path)
    return path


def test_a_report_is_printed_and_the_file_starts_a_training(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], clips_folder: Path
) -> None:
    target = tmp_path / "out" / "converted.pyth"
    assert convert.main([str(reference), str(target), *CLIP, *TINY_AUDIO]) == 0
    shown = capsys.readouterr().out
    assert "layout gdt: 334 matched, 0 missing, 0 of another shape, 0 unexpected, 2 not used" in shown
    assert "not used: audio_network.base.fc.weight (10, 32)" in shown
    assert "settings: MODEL.ARCH r2plus1d_18, POOL.NAME transformer" in shown
    networks = {"MODEL__ARCH": "r2plus1d_18", "HEAD__DIM": 8, "HEAD__HIDDEN_DIM": 16}
    task = create_task(tiny_cfg(clips_folder, tmp_path / "run", TRAIN__CHECKPOINT_FILE_PATH=target, **networks))
    theirs = torch.load(reference, weights_only=True)["state_dict"]
    # exact: the same code with the same shapes, twice
    assert torch.equal(task.backbone.stem[0].weight, theirs["module.video_network.base.stem.0.weight"])


def as_the_authors_save(stand_in: StandIn) -> dict[str, Any]:
    """What their training programs write: weights, and objects of the program with them."""
    optimizer = torch.optim.SGD(stand_in.parameters(), lr=0.01, momentum=0.9)
    for parameter in stand_in.mlp_v.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [6, 10])
    del optimizer.step  # what recent schedulers put there cannot be pickled, and older ones did not have
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = np.float64(0.64)
    return {
        "args": argparse.Namespace(batch_size=8, output_dir="out"),
        "epoch": 150,
        "lr_scheduler": {"after_scheduler": scheduler, "multiplier": np.float64(64.0)},
        "model": {f"module.{name}": tensor for name, tensor in stand_in.state_dict().items()},
        "optimizer": saved,
    }


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "legacy"])
def test_a_file_as_the_authors_save_it_is_converted_and_what_is_left_out_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], archive: bool
) -> None:
    source, target = tmp_path / "gdt_K400.pth", tmp_path / "gdt.pyth"
    stand_in = StandIn(seed=5, layers=0)
    torch.save(as_the_authors_save(stand_in), source, _use_new_zipfile_serialization=archive)
    assert convert.main([str(source), str(target), *CLIP, *TINY_AUDIO]) == 0
    shown = capsys.readouterr().out
    assert "left out, objects of the program that wrote the file: args (argparse.Namespace), lr_scheduler (" in shown
    assert "torch.optim.lr_scheduler.MultiStepLR), optimizer (numpy" in shown
    assert "is a guess; confirm with --as gdt, or use --as stica" in shown
    converted = torch.load(target, weights_only=True)
    assert converted["converted"]["about"] == {"epoch": 150}
    theirs = stand_in.state_dict()["video_network.base.layer4.1.conv2.0.3.weight"]
    # exact: copied, not calculated
    assert torch.equal(converted["model"]["backbone.layer4.1.conv2.0.3.weight"], theirs)


@pytest.mark.parametrize(
    ("method", "bands", "mean", "frames"), [("stica", 257, 0.0, 60), ("gdt", 40, 1.93, 30)], ids=["stica", "gdt"]
)
def test_a_file_without_transformer_is_whose_one_says(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    method: str,
    bands: int,
    mean: float,
    frames: int,
) -> None:
    source, target = tmp_path / "averaged.pth", tmp_path / "out.pyth"
    torch.save(StandIn(layers=0).state_dict(), source)
    assert convert.main([str(source), str(target), "--as", method]) == 0
    assert "guess" not in capsys.readouterr().out
    config = yaml.safe_load(torch.load(target, weights_only=True)["config"])
    assert (config["AUDIO"]["NUM_MEL_BINS"], config["AUDIO"]["MEAN"], config["DATA"]["NUM_FRAMES"]) == (
        bands,
        mean,
        frames,
    )
    assert config["POOL"]["NAME"] == "average"


def test_networks_of_text_and_numbers_of_positions_are_named_as_unused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "ht100m.pth"
    text = {"text_network.word_embd.weight": torch.ones(5, 3), "mlp_t.block_forward.2.weight": torch.ones(2, 2)}
    torch.save({"model": {**StandIn(positions=True).state_dict(), **text}}, source)
    assert convert.main([str(source), str(tmp_path / "out.pyth"), *CLIP, *TINY_AUDIO]) == 0
    shown = capsys.readouterr().out
    assert "0 unexpected, 5 not used" in shown
    for name in ("text_network.word_embd.weight", "mlp_t.block_forward.2.weight", "video_pooling.2.pos_ids"):
        assert f"not used: {name}" in shown


def test_an_evaluation_needs_the_file_alone(reference: Path, tmp_path: Path, clips_folder: Path) -> None:
    target = tmp_path / "converted.pyth"
    assert convert.main([str(reference), str(target), "--layout", "gdt", *CLIP, *TINY_AUDIO]) == 0
    results = run_tiny(
        clips_folder,
        tmp_path / "run",
        TRAIN__ENABLE=False,
        TEST__ENABLE=True,
        TEST__CHECKPOINT_FILE_PATH=target,
        TEST__EVALUATIONS="['retrieval']",
    )
    assert any(name.startswith("retrieval/R@1") for name in results)


def test_a_trunk_of_torchvision_becomes_a_checkpoint_with_its_normalization(tmp_path: Path) -> None:
    source, target = tmp_path / "r2plus1d_18.pth", tmp_path / "kinetics.pyth"
    plain = r2plus1d_18().eval()
    torch.save(plain.state_dict(), source)
    assert convert.main([str(source), str(target), "MODEL.ARCH", "r2plus1d_18", *CLIP]) == 0
    config = torch.load(target, weights_only=True)["config"]
    assert "0.43216" in config
    plain.avgpool, plain.fc = torch.nn.Identity(), torch.nn.Identity()
    video = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        # exact: the same code with the same shapes, twice
        assert torch.equal(load_trunk_of(target)(video).flatten(1), plain(video))


def test_a_normalisation_that_the_recipe_chooses_stays(tmp_path: Path) -> None:
    source, target, recipe = tmp_path / "trunk.pth", tmp_path / "cvrl.pyth", tmp_path / "cvrl.yaml"
    torch.save(r2plus1d_18().state_dict(), source)
    recipe.write_text("MODEL:\n  ARCH: r2plus1d_18\nDATA:\n  MEAN: [0.0, 0.0, 0.0]\n  STD: [1.0, 1.0, 1.0]\n")
    assert convert.main([str(source), str(target), "--cfg", str(recipe), *CLIP]) == 0
    data = yaml.safe_load(torch.load(target, weights_only=True)["config"])["DATA"]
    assert (data["MEAN"], data["STD"]) == ([0.0] * 3, [1.0] * 3)


def test_an_export_of_this_package_brings_its_normalization(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    source, target = tmp_path / "trunk.safetensors", tmp_path / "again.pyth"
    trunk = {name: tensor for name, tensor in r2plus1d_18().state_dict().items() if not name.startswith("fc.")}
    config = yaml.safe_dump({"DATA": {"MEAN": [0.1, 0.2, 0.3], "STD": [0.5, 0.5, 0.5]}})
    safetensors.save_file(trunk, source, {HEADER: json.dumps({"config": config})})
    assert convert.main([str(source), str(target), "MODEL.ARCH", "r2plus1d_18", *CLIP]) == 0
    data = yaml.safe_load(torch.load(target, weights_only=True)["config"])["DATA"]
    assert (data["MEAN"], data["STD"]) == ([0.1, 0.2, 0.3], [0.5] * 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pth", "out.pyth"], "absent.pth: there is no such file"),
        (["notes.txt", "out.pyth"], "notes.txt cannot be read"),
        (["other.pth", "out.pyth"], "does not fit MODEL.ARCH r2plus1d_18; layout "),
        (["other.pth", "out.pyth", "--layout", "gtd"], "--layout: got 'gtd' (did you mean gdt?)"),
        (["other.pth", "out.pyth", "--layout", "gdt"], "looks like GDT or STiCA, but has no video_network.base."),
        (["other.pth", "out.pyth", "MODEL.ARHC", "x"], "unknown key MODEL.ARHC (did you mean MODEL.ARCH?)"),
        (["other.pth", "there.pyth"], "there.pyth exists already: choose another name, or move it away"),
        (
            ["pickled.pth", "out.pyth"],
            "pickled.pth holds an object of torch.nn.modules.linear.Linear, which only its own",
        ),
        (["other.pth", "out.pyth", "--as", "gdt"], "--as gdt: other.pth does not hold the networks of GDT or STiCA"),
        (["stica.pth", "out.pyth", "--as", "gdt"], "--as gdt: the file has 2 transformer layers, but GDT has none"),
    ],
)
def test_wrong_input_ends_with_one_line_and_nothing_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("no weights")
    Path("there.pyth").write_text("old")
    torch.save({"layer.weight": torch.ones(2)}, "other.pth")
    torch.save(torch.nn.Linear(1, 1), "pickled.pth")
    torch.save(StandIn().state_dict(), "stica.pth")
    assert convert.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not Path("out.pyth").exists()
    assert Path("there.pyth").read_text() == "old"


def test_a_checkpoint_of_this_package_is_not_converted_again(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert.main([str(reference), str(tmp_path / "once.pyth"), *CLIP]) == 0
    assert convert.main([str(tmp_path / "once.pyth"), str(tmp_path / "twice.pyth")]) == 2
    assert "is a checkpoint of this package already" in capsys.readouterr().err


def test_the_layouts_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        convert.main(["--list"])
    assert stopped.value.code == 0
    assert "gdt" in capsys.readouterr().out
