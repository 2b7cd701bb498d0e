from pathlib import Path

import pytest
from headers import Probed
from made_media import make_media

from stica_pv.data.manifest import manifest


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def clip_mp4(folder: Path) -> Path:
    return make_media(folder / "b-frames.mp4", options={"bf": "3"}, container_options={"movflags": "faststart"})


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three good files of 0.4, 0.6 and 0.8 s, and one that is none."""
    folder = tmp_path_factory.mktemp("clips")
    made = [make_media(folder / f"{i}.mp4", seconds=0.4 + 0.2 * i, size=(64, 48)) for i in range(3)]
    (folder / "bad, really.mp4").write_bytes(b"no media")
    return [str(path) for path in made] + [str(folder / "bad, really.mp4")]


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Probed:
    """Note from now on which files `probe_all` opens."""
    recorder = Probed(tmp_path / "probed", manifest.probe)
    monkeypatch.setattr(manifest, "probe", recorder)
    return recorder
