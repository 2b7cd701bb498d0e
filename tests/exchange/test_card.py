import json
import shutil
from pathlib import Path

import torch
from reference_stand_in import StandIn

from stica_pv.engine import load_checkpoint
from stica_pv.exchange import ExportRequest, export, exports, pieces
from stica_pv.exchange.convert import convert
from stica_pv.exchange.graphs import Program
from stica_pv.launch.configuration import configure
from stica_pv.weights import read_weights
from stica_pv.weights.files import sha256_of

ROOT = Path(__file__).resolve().parents[2]


def card_of(source: Path, target: Path, **request: str) -> str:
    return export(ExportRequest(str(source), target, **request)).card.read_text()


def run_folder(trained: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run" / "checkpoints" / trained.name
    copy.parent.mkdir(parents=True)
    shutil.copy(trained, copy)
    return copy


def test_it_states_file_training_and_configuration(trained: Path, tmp_path: Path) -> None:
    text = card_of(trained, tmp_path / "trunk.pth")
    whole = load_checkpoint(trained)
    assert text.startswith("# r2plus1d_10, video trunk\n")
    assert f"sha256 `{sha256_of(tmp_path / 'trunk.pth')}`" in text
    assert f"hash `{whole['list_hash']}`" in text
    assert "| steps | 3 of 4 videos; 3 per epoch |" in text
    assert "minus [0.45, 0.45, 0.45], divided by [0.225, 0.225, 0.225]" in text
    assert whole["config"] in text
    assert "Apache-2.0" in text
    assert "Unknown: the run folder has no results.json." in text


def test_the_results_of_the_run_are_shown(trained: Path, tmp_path: Path) -> None:
    checkpoint = run_folder(trained, tmp_path)
    (tmp_path / "run" / "results.json").write_text(json.dumps({"retrieval/R@1": 41.25, "note": "x", "none": None}))
    text = card_of(checkpoint, tmp_path / "trunk.pth")
    assert "| retrieval/R@1 | 41.2 |" in text
    assert "| note" not in text


def test_results_that_are_no_json_are_named(trained: Path, tmp_path: Path) -> None:
    checkpoint = run_folder(trained, tmp_path)
    (tmp_path / "run" / "results.json").write_text("{")
    assert "results.json cannot be read" in card_of(checkpoint, tmp_path / "trunk.pth")


def test_results_beside_a_file_that_is_in_no_run_are_not_taken_for_its_own(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(trained, tmp_path / "elsewhere" / "x.pyth")
    (tmp_path / "results.json").write_text(json.dumps({"retrieval/R@1": 99.0}))
    assert "99.0" not in card_of(tmp_path / "elsewhere" / "x.pyth", tmp_path / "trunk.pth")


def test_how_to_load_it_works_as_it_is_written(trained: Path, tmp_path: Path, monkeypatch) -> None:
    text = card_of(trained, tmp_path / "encoder.ts", what="encoder")
    code = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names = {"clips": torch.zeros(2, 3, 4, 32, 32, dtype=torch.uint8)}
    exec(code, names)
    assert names["features"].shape == (2, 32)


def test_a_trunk_is_identified_by_the_names_of_its_own_network(trained: Path, tmp_path: Path) -> None:
    text = card_of(trained, tmp_path / "trunk.pth", modality="audio")
    assert "# by the names of the plain resnet9, without its classifier" in text


class TwoPathways(torch.nn.Module):
    def forward(self, clips: torch.Tensor) -> list[torch.Tensor]:
        return [clips.mean(dim=1), clips.amax(dim=(2, 3, 4))]


def test_the_outputs_of_an_onnx_program_are_identified_by_their_names(
    trained: Path, tmp_path: Path, monkeypatch
) -> None:
    written: list[list[str]] = []

    def write(network: torch.nn.Module, example: torch.Tensor, outputs: list[str], path: Path) -> None:
        written.append(outputs)
        path.touch()

    monkeypatch.setitem(exports.PROGRAMS, "onnx", Program(write, lambda path: None, 1.0, "no runtime"))
    text = card_of(trained, tmp_path / "one.onnx")
    assert '(features,) = session.run(["features"], {"input": clips})' in text
    monkeypatch.setattr(pieces, "trunk_of", lambda encoder, modality: TwoPathways())
    text = card_of(trained, tmp_path / "two.onnx")
    assert '(features0, features1) = session.run(["features0", "features1"], {"input": clips})' in text
    assert "| output | float32 (B, 4, 32, 32), float32 (B, 3) |" in text
    assert written == [["features"], ["features0", "features1"]]


def test_converted_weights_keep_the_licence_of_their_source(tmp_path: Path) -> None:
    torch.save(StandIn(layers=0, linear_heads=True).video_network.base.state_dict(), tmp_path / "trunk_only.pth")
    weights = read_weights(tmp_path / "trunk_only.pth")
    overrides = ["MODEL.WIDTH", "4", "AUDIO.WIDTH", "4", "DATA.NUM_FRAMES", "8", "CROP.NUM_LARGE_SPATIAL", "1"]
    cfg = configure("projects/stica/k400.yaml", overrides)
    torch.save(convert(weights, cfg).checkpoint, tmp_path / "converted.pyth")
    text = card_of(tmp_path / "converted.pyth", tmp_path / "out.pth")
    assert "| converted from | `trunk_only.pth` (layout torchvision)" in text
    assert "| random weights, not trained | pool, video_head, audio_tower, audio_head |" in text
    assert "the license of their source applies" in text
