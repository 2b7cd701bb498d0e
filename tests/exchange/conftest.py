"""A checkpoint of a real run, for all tests of this folder."""

from pathlib import Path

import pytest
from tiny_runs import run_tiny

from stica_pv.engine.checkpoint import list_checkpoints


@pytest.fixture(scope="session")
def trained(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint after three steps."""
    output = tmp_path_factory.mktemp("trained")
    run_tiny(clips_folder, output, SOLVER__MAX_EPOCH=1)
    return list_checkpoints(output)[-1]
