"""`torch.hub.load` on a clone, as a person writes it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_clips import CLIP_RATE_HZ
from tiny_runs import run_tiny

from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import UsageError
from stica_pv.exchange import load_encoder, load_trunk_of

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def trained(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    run_tiny(clips_folder, output, SOLVER__MAX_EPOCH=1, MODEL__ARCH="r2plus1d_18")
    return list_checkpoints(output)[-1]


def hub(name: str, **arguments: Any) -> torch.nn.Module:
    return torch.hub.load(str(REPOSITORY), name, source="local", **arguments)


@torch.no_grad()
def test_every_entry_gives_the_network_of_the_checkpoint(trained: Path) -> None:
    video = torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8)
    expected = load_encoder(trained)(video)
    # exact: the same code with the same shapes, twice
    assert torch.equal(hub("stica_r2plus1d_18", checkpoint=str(trained))(video), expected)
    # exact: the same code with the same shapes, twice
    assert torch.equal(hub("stica_encoder", checkpoint=str(trained))(video), expected)
    audio = torch.rand(2, CLIP_RATE_HZ // 4) - 0.5
    heard = hub("stica_encoder", checkpoint=str(trained), modality="audio")(audio)
    assert torch.equal(heard, load_encoder(trained, "audio")(audio))  # exact: the same code with the same shapes, twice
    frames = torch.randn(1, 3, 4, 32, 32)
    # exact: the same code with the same shapes, twice
    assert torch.equal(hub("stica_trunk", checkpoint=str(trained))(frames), load_trunk_of(trained)(frames))


def test_another_trunk_than_the_name_says_is_refused(trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained, weights_only=True)
    content["config"] = content["config"].replace("ARCH: r2plus1d_18", "ARCH: r2plus1d_10")
    torch.save(content, tmp_path / "other.pyth")
    with pytest.raises(UsageError, match="holds r2plus1d_10, not r2plus1d_18: use stica_encoder"):
        hub("stica_r2plus1d_18", checkpoint=str(tmp_path / "other.pyth"))
