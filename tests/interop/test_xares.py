"""The adapter of X-ARES: its documented interface, and a made-up task run by X-ARES itself where that is installed."""

import importlib
import io
import json
import math
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.exchange import load_encoder
from stica_pv.interop.xares import PATH_VARIABLE, SticaEncoder

RATE_HZ = 16000
SPLITS = {"train": 40, "valid": 6, "test": 6}


@pytest.fixture(scope="module")
def encoder(trained_16k: Path) -> SticaEncoder:
    return SticaEncoder(trained_16k)


def noise(samples: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, samples, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_windows_follow_each_other_by_default(encoder: SticaEncoder, trained_16k: Path) -> None:
    audio = noise(2 * encoder.window + 5)
    ours = load_encoder(trained_16k, "audio")
    with torch.no_grad():
        expected = torch.stack([ours(part) for part in audio[:, : 2 * encoder.window].split(encoder.window, 1)], 1)
        assert torch.allclose(encoder(audio), expected, atol=1e-5)
    assert encoder.output_dim == expected.shape[2]
    assert encoder.sampling_rate == RATE_HZ
    assert math.isclose(encoder.hop_size_in_ms, 1000 * encoder.window / RATE_HZ)


def test_a_hop_gives_one_embedding_per_hop(trained_16k: Path) -> None:
    encoder = SticaEncoder(trained_16k, hop_ms=40)
    with torch.inference_mode():
        assert encoder(noise(50000)).shape == (2, 50000 // 640, encoder.output_dim)
        assert encoder(noise(100)).shape[1] == 1
    assert encoder.hop_size_in_ms == 40.0


def test_the_path_may_come_from_the_environment(trained_16k: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    with pytest.raises(UsageError, match="no weights"):
        SticaEncoder()
    monkeypatch.setenv(PATH_VARIABLE, str(trained_16k))
    assert SticaEncoder().output_dim > 0
    with pytest.raises(UsageError, match="at least one sample"):
        SticaEncoder(hop_ms=0.01)


def tone(hertz: float, seed: int) -> bytes:
    """A wav file of a second of a tone in a little noise."""
    times = np.arange(RATE_HZ) / RATE_HZ
    values = 0.5 * np.sin(2 * np.pi * hertz * times) + 0.01 * np.random.default_rng(seed).standard_normal(RATE_HZ)
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((values * 32767).astype("<i2").tobytes())
    return target.getvalue()


def write_task(folder: Path) -> None:
    """Two classes, a low and a high tone, in the shards that X-ARES reads."""
    folder.mkdir(parents=True)
    for split, count in SPLITS.items():
        with tarfile.open(folder / f"{split}0000.tar", "w") as shard:
            for number in range(count):
                label = number % 2
                wav, about = tone((300, 3000)[label], number), json.dumps({"label": label}).encode()
                for suffix, content in (("wav", wav), ("json", about)):
                    entry = tarfile.TarInfo(f"{split}{number:03}.{suffix}")
                    entry.size = len(content)
                    shard.addfile(entry, io.BytesIO(content))
    (folder / ".audio_tar_ready").touch()


def test_x_ares_runs_a_task_of_its_format(encoder: SticaEncoder, tmp_path: Path) -> None:
    try:
        checker = importlib.import_module("xares.audio_encoder_checker")
        task = importlib.import_module("xares.task")
    except (ImportError, OSError) as error:  # OSError: its torchaudio was built for another torch
        pytest.skip(f"needs `pip install 'stica_pv[xares]'` with a torchaudio of this torch ({error})")
    assert checker.check_audio_encoder(encoder)
    write_task(tmp_path / "tones")
    threads = torch.get_num_threads()
    config = task.TaskConfig(
        name="tones", env_root=tmp_path, private=True, encoder=encoder, num_encoder_workers=0, epochs=20,
        learning_rate=0.1, output_dim=2, metric="accuracy", label_processor=lambda about: about["label"],
        eval_weight=SPLITS["test"], torch_num_threads=threads,
    )  # fmt: skip
    (mlp, _), (knn, _) = task.XaresTask(config).run()
    assert float(mlp) == 1.0
    assert float(knn) == 1.0
