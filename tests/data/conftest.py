from pathlib import Path

import pytest
from made_media import make_media


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def clip_mp4(folder: Path) -> Path:
    return make_media(folder / "b-frames.mp4", options={"bf": "3"}, container_options={"movflags": "faststart"})
