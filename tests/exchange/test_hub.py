"""A checkpoint as a repository: written to a folder, uploaded to a stand-in server, and loaded again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_stand_in import hub_stand_in

from stica_pv.commands.push_to_hub import main
from stica_pv.errors import UsageError
from stica_pv.exchange import load_encoder
from stica_pv.exchange.hub import push_to_hub, write_repository
from stica_pv.exchange.repository import CARD, FACTS, WEIGHTS, hub_errors

FRAMES = torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
AUDIO = torch.rand(2, 4000, generator=torch.Generator().manual_seed(0)) - 0.5

HUB_SCRIPT = """
import sys, torch
from stica_pv.exchange import load_encoder
from stica_pv.exchange.hub import push_to_hub
checkpoint, clips = sys.argv[1:]
print(push_to_hub(checkpoint, "me/small", license_name="cc-by-4.0"))
encoder = load_encoder("me/small")
with torch.no_grad():
    torch.save(encoder(torch.load(clips, weights_only=True)), clips)
"""


@pytest.fixture(scope="module")
def repository(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("safetensors", reason="needs the extra `hub`")
    folder = tmp_path_factory.mktemp("repository")
    assert [path.name for path in write_repository(str(trained), folder, license_name="mit")] == [WEIGHTS, FACTS, CARD]
    return folder


@torch.no_grad()
def test_a_repository_gives_the_encoders_of_the_checkpoint(trained: Path, repository: Path) -> None:
    both = load_encoder(repository, "both")
    # exact: the same code with the same shapes, twice
    assert torch.equal(both["video"](FRAMES), load_encoder(trained)(FRAMES))
    # exact: the same code with the same shapes, twice
    assert torch.equal(both["audio"](AUDIO), load_encoder(trained, "audio")(AUDIO))


def test_the_facts_and_the_card_describe_it(repository: Path) -> None:
    facts = json.loads((repository / FACTS).read_text())
    assert facts["video"] | {"dim": 0} == {
        "architecture": "r2plus1d_10",
        "mean": [0.45, 0.45, 0.45],
        "std": [0.225, 0.225, 0.225],
        "frames": 4,
        "fps": 8.0,
        "size": 32,
        "dim": 0,
    }
    assert (facts["audio"]["sample_rate"], facts["audio"]["seconds"]) == (8000, 0.5)
    assert facts["library_name"] == "stica_pv"
    card = (repository / CARD).read_text()
    assert card.startswith("---\nlibrary_name: stica_pv\nlicense: mit\ntags:\n- video\n")
    assert f'load_encoder("{repository}")' in card


def test_an_encoder_makes_its_own_clips(repository: Path) -> None:
    encoder, audio = load_encoder(repository), load_encoder(repository, "audio")
    assert (encoder.fps, encoder.preprocess.frames, audio.sample_rate) == (8.0, 4, 8000)
    frames = torch.randint(0, 256, (3, 4, 48, 60), dtype=torch.uint8)
    assert encoder.preprocess(frames).shape == (3, 4, 32, 32)
    together = encoder.preprocess(torch.stack([frames, frames.flip(1)]))
    torch.testing.assert_close(together[1], encoder.preprocess(frames.flip(1)))
    assert audio.preprocess(torch.ones(2, 1000)).tolist() == [[1.0] * 1000 + [0.0] * 3000]
    with torch.no_grad():
        assert audio(audio.preprocess(torch.ones(9000))).shape[0] == 1


@pytest.mark.parametrize(
    ("frames", "message"),
    [(torch.zeros(3, 4, 8, 8), "expected uint8"), (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), "expected uint8")],
)
def test_other_frames_are_refused(repository: Path, frames: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder(repository).preprocess(frames)


def test_a_run_folder_gives_its_newest_checkpoint(trained: Path) -> None:
    assert load_encoder(trained.parent.parent).fps == 8.0


def test_weights_of_another_download_are_refused(trained: Path, repository: Path, tmp_path: Path) -> None:
    for name in (WEIGHTS, FACTS):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    facts = json.loads((tmp_path / FACTS).read_text())
    (tmp_path / FACTS).write_text(json.dumps(facts | {"sha256": "0" * 64}))
    with pytest.raises(UsageError, match="is not the file that config.json names by its sha256"):
        load_encoder(tmp_path)


def test_a_folder_without_weights_and_an_existing_repository_are_refused(
    trained: Path, repository: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has no weights: expected model.safetensors, or the folder of a run"):
        load_encoder(tmp_path)
    with pytest.raises(UsageError, match="model.safetensors exists already"):
        write_repository(str(trained), repository)


def test_an_upload_to_the_hub_is_loaded_by_its_name(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra `hub`")
    torch.save(FRAMES, tmp_path / "clips.pt")
    with hub_stand_in() as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "hf_test"}
        command = [sys.executable, "-c", HUB_SCRIPT, str(trained), str(tmp_path / "clips.pt")]
        env = {**os.environ, **settings, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == f"{hub.url}/me/small"
        assert set(hub.files["me/small"]) >= {WEIGHTS, FACTS, CARD}
        assert b"license: cc-by-4.0" in hub.files["me/small"][CARD]
    with torch.no_grad():
        expected = load_encoder(trained)(FRAMES)
    torch.testing.assert_close(torch.load(tmp_path / "clips.pt", weights_only=True), expected)


def test_a_repository_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra `hub`")
    code = "from stica_pv.exchange import load_encoder; load_encoder('me/absent')"
    with hub_stand_in() as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
    last = done.stderr.strip().splitlines()[-1]
    assert (
        "UsageError: me/absent: there is no such file, and the repository of the Hugging Face Hub cannot be read"
        in last
    )


def test_a_hub_that_cannot_be_reached_is_one_line(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra `hub`")
    http_error = hub_errors()[0]  # an error of the connection is one of the library for HTTP

    def fail(*arguments: object, **more: object) -> None:
        raise http_error("Name or service not known")

    monkeypatch.setattr(hub.HfApi, "create_repo", fail)
    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(UsageError, match="me/small: the Hugging Face Hub cannot be reached.*Name or service not known"):
        push_to_hub(str(trained), "me/small")
    with pytest.raises(UsageError, match="me/absent: there is no such file.*Name or service not known"):
        load_encoder("me/absent")


def test_the_command_writes_the_repository(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("safetensors", reason="needs the extra `hub`")
    folder = tmp_path / "repository"
    assert main([str(trained), "me/small", "--folder", str(folder)]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [WEIGHTS, FACTS, CARD]
    assert 'load_encoder("me/small")' in (folder / CARD).read_text()
    assert main([str(trained), "small"]) == 2
    assert capsys.readouterr().err == "error: repository: got 'small', expected owner/name\n"
