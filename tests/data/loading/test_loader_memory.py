import logging
from pathlib import Path

import pytest
from made_clips import two_views

from stica_pv.data.loading.loader_memory import available_bytes, in_gib, loader_bytes, sample_bytes, warn_if_too_large

SAMPLE = 4 * 3 * (4 * 4 + 3 * 3) + 4 * 100  # two views of 4 frames, of 4 and 3 pixels, and a second of audio at 100 Hz


def test_a_sample_has_the_bytes_of_its_views():
    assert sample_bytes(two_views()) == SAMPLE


@pytest.mark.parametrize(("workers", "batches"), [(0, 1), (1, 5), (3, 13)])
def test_batches_made_ahead_count_for_each_worker_and_the_one_in_use_once(workers: int, batches: int):
    assert loader_bytes(two_views(), 8, workers) == batches * 8 * SAMPLE


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [
        ("memory.max", "1048576\n", 2**20),
        ("memory/memory.limit_in_bytes", "2097152\n", 2**21),
        ("memory.max", "max\n", 4096 * 1024),
        ("memory/memory.limit_in_bytes", f"{2**63 - 4096}\n", 4096 * 1024),
    ],
)
def test_available_is_what_the_machine_has_left_or_the_limit_of_the_container(
    tmp_path: Path, name: str, limit: str, expected: int
):
    meminfo = write(tmp_path / "meminfo", "MemTotal: 9999 kB\nMemAvailable:    4096 kB\n")
    write(tmp_path / "cgroup" / name, limit)
    assert available_bytes(tmp_path / "cgroup", meminfo) == expected


def test_nothing_is_known_of_another_system(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert available_bytes(tmp_path, tmp_path / "meminfo") is None
    warn_if_too_large(two_views(), 2**40, 8, None)
    assert not caplog.records


def test_a_loader_that_cannot_fit_is_announced_with_its_size_and_what_to_do(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    needed = loader_bytes(two_views(), 2**20, 2)
    warn_if_too_large(two_views(), 2**20, 2, needed)
    assert not caplog.records
    warn_if_too_large(two_views(), 2**20, 2, needed - 1)
    (line,) = caplog.messages
    assert line.startswith("the batches of the loader may need 6.2 GiB of memory, and 6.2 GiB are available: each of 2")
    assert "lower DATA_LOADER.NUM_WORKERS or TRAIN.BATCH_SIZE" in line


def test_sizes_are_rounded_up():
    assert [in_gib(size) for size in (1, 2**20, 2**29 - 1, 2**29, 2**30 + 1)] == [
        "1 MiB",
        "1 MiB",
        "512 MiB",
        "0.5 GiB",
        "1.1 GiB",
    ]
