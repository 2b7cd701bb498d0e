"""A checkpoint of a tiny run on audio of a rate that HEAR has."""

from pathlib import Path

import pytest
from tiny_runs import run_tiny

from stica_pv.engine.checkpoint import list_checkpoints


@pytest.fixture(scope="session")
def trained_16k(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint after three steps."""
    output = tmp_path_factory.mktemp("trained_16k")
    run_tiny(clips_folder, output, SOLVER__MAX_EPOCH=1, AUDIO__SAMPLE_RATE=16000)
    return list_checkpoints(output)[-1]
