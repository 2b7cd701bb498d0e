"""The Python blocks of the documentation run as written, and give what they state."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pages import PAGES, ROOT, RUN, Block, blocks
from tiny_clips import make_clip

BLOCKS = [block for page in PAGES for block in blocks(page) if block.language == "python" and not block.title]
PARTS = "docs/parts.md"


def run(block: Block) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block.text, block.page, "exec"), names)  # noqa: S102 - our own text
    return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two clips, of which the first has audio, and their list."""
    (tmp_path / "clips").mkdir()
    files = [make_clip(tmp_path / "clips" / f"{number}.mp4", number, audio=number == 0) for number in range(2)]
    (tmp_path / "clips" / "train.csv").write_text("".join(f"{file} {i}\n" for i, file in enumerate(files)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_that_does_not_run_says_why() -> None:
    marks = {block.mark for block in BLOCKS if block.mark} - {RUN}
    assert all(mark.startswith("not run: ") for mark in marks), marks


OTHERS = [block for block in BLOCKS if not block.mark and block.page != PARTS]


@pytest.mark.parametrize("block", OTHERS, ids=lambda block: f"{block.page}-{OTHERS.index(block)}")
def test_a_block_runs(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    names = run(block)
    if block.page == "README.md":
        assert names["feature_map"].shape == (2, 2048, 8, 4, 4)
        assert names["tokens"].shape == (6, 2, 8, 2048)
        assert names["vectors"].shape == (6, 2, 256)


def part(number: int) -> dict[str, Any]:
    return run([block for block in BLOCKS if block.page == PARTS][number])


def test_the_loader_has_the_batches_that_the_page_states(folder: Path) -> None:
    batch = part(0)["batch"]
    assert batch.video["clip"].shape == (2, 3, 8, 112, 112)
    assert batch.audio["clip"].shape == (2, 16000)
    assert batch.label.shape == (2,)


def test_crops_on_a_net_have_the_shapes_that_the_page_states() -> None:
    names = part(1)
    assert names["vectors"].shape == (2, 256)
    assert names["feature_map"].shape == (2, 2048, 8, 4, 4)
    assert names["tokens"].shape == (6, 2, 8, 2048)
    assert names["crops"].shape == (6, 2, 256)


def test_crops_on_two_pathways_have_the_shapes_that_the_page_states() -> None:
    names = part(2)
    assert [tuple(pathway) for pathway in names["trunk"].pathways] == [(2048, (4, 32, 32)), (256, (1, 32, 32))]
    assert [tuple(one.shape) for one in names["maps"]] == [(2, 2048, 2, 4, 4), (2, 256, 8, 4, 4)]
    assert names["crops"].shape == (6, 2, 256)


def test_pytorchvideos_data_set_gives_the_batch_that_the_page_states(folder: Path) -> None:
    names = part(3)
    batch = names["batch"]
    assert batch["video"].shape == (2, 3, 8, 112, 112)
    assert batch["audio"].shape == (2, 24000)
    assert [bool(share) for share in batch["audio_valid"][batch["label"].argsort()]] == [True, False]
    assert list(names["videos"].labels) == [0, 1]
    assert names["sample_windows"](1.5, torch.Generator())["clip"].seconds == 1.0


def test_a_file_that_a_page_shows_is_whole() -> None:
    """A formatter takes the line that includes a file for Python, and the page then shows that line alone."""
    files = [block for page in PAGES for block in blocks(page) if block.language == "python" and block.title]
    assert files
    assert [block.page for block in files if not block.text.startswith('"""')] == []
