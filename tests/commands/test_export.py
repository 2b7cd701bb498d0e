"""`stica-pv export` as a person types it, and the file in another program."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import REPOSITORY, run_tiny

from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.exchange import load_encoder

READER = """
import sys, torch
encoder = torch.hub.load(sys.argv[1], "stica_encoder", source="local", checkpoint="video.pth")
with torch.no_grad():
    torch.save(encoder(torch.load("clips.pth", weights_only=True)), "features.pth")
"""


@pytest.fixture(scope="module")
def trained(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    run_tiny(clips_folder, output, SOLVER__MAX_EPOCH=1)
    return list_checkpoints(output)[-1]


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_exported_encoder_gives_the_same_features_in_another_process(trained: Path, tmp_path: Path) -> None:
    clips = torch.randint(0, 256, (3, 3, 4, 32, 32), dtype=torch.uint8)
    torch.save(clips, tmp_path / "clips.pth")
    done = start(tmp_path, "-m", "stica_pv", "export", str(trained), "video.pth", "--what", "encoder")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("video.pth: video encoder, ")
    assert "input: uint8 (B, 3, 4, 32, 32), RGB, 8 frames per second; it is normalized inside\n" in done.stdout
    assert done.stdout.endswith("model card: video.pth.md\n")
    read = start(tmp_path, "-c", READER, str(REPOSITORY))
    assert read.returncode == 0, read.stderr
    with torch.no_grad():
        expected = load_encoder(trained)(clips)
    assert torch.allclose(torch.load(tmp_path / "features.pth", weights_only=True), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pyth", "x.pth"], "error: absent.pyth: there is no such file\n"),
        (["absent.pyth", "x.pth", "--import", "no_such_module"], "error: --import: no_such_module: No module named"),
    ],
)
@pytest.mark.slow
def test_wrong_input_ends_with_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = start(tmp_path, "-m", "stica_pv", "export", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
