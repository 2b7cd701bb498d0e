"""The token of a run: only its processes know it, and nothing of it stays in the run's folder."""

import time
from pathlib import Path

import pytest
import torch.distributed as dist

from stica_pv.errors import RunFailed
from stica_pv.launch.process_spec import ProcessSpec
from stica_pv.launch.run_token import NAME, token_of, write_token

FIRST, SECOND = (ProcessSpec(rank, rank, 2, "tcp://host:1", False, "") for rank in (0, 1))


def soon() -> float:
    return time.monotonic() + 0.3


def test_process_0_writes_a_token_that_only_its_owner_can_read_and_removes_it(tmp_path: Path):
    folder, store, tokens = tmp_path / "new" / "run", dist.HashStore(), set()
    for _ in range(2):
        with token_of(FIRST, store, folder, soon()) as first, token_of(SECOND, store, folder, soon()) as second:
            assert first == second
            assert len(bytes.fromhex(first)) == 16
            assert (folder / NAME).stat().st_mode & 0o777 == 0o600
            tokens.add(first)
        assert list(tmp_path.iterdir()) == []
    assert len(tokens) == 2


def test_a_folder_that_was_there_stays(tmp_path: Path):
    (tmp_path / "log").touch()
    with token_of(FIRST, dist.HashStore(), tmp_path, soon()):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("found", ["nothing", "the token of an earlier attempt"])
def test_a_folder_that_not_all_machines_share_is_reported(tmp_path: Path, found: str):
    store, other = dist.HashStore(), tmp_path / "other"
    other.mkdir()
    if found != "nothing":
        write_token(other / NAME, "0" * 32)
    message = rf"process 1 of 2 does not find {other / NAME}, .*: OUTPUT_DIR must be one folder that all machines share"
    with (
        token_of(FIRST, store, tmp_path / "run", soon()),
        pytest.raises(RunFailed, match=message),
        token_of(SECOND, store, other, soon()),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunFailed, match="file/run/.token, which the processes of the run need, cannot be written: "),
        token_of(FIRST, dist.HashStore(), tmp_path / "file" / "run", soon()),
    ):
        pass


def test_a_token_that_was_given_needs_no_folder():
    spec = ProcessSpec(0, 0, 2, "tcp://host:1", False, "", token="given")
    with token_of(spec, dist.HashStore(), Path("/dev/null/nowhere"), soon()) as token:
        assert token == "given"
