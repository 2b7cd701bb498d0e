"""The README's examples run as written, and the files it names exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_clips import make_clip

README = Path(__file__).resolve().parents[1] / "README.md"


def run_example(number: int) -> dict[str, Any]:
    code = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code[number], names)  # noqa: S102 - our own text
    return names


def test_python_example_runs_and_gives_the_shapes_it_states() -> None:
    names = run_example(0)
    assert names["vectors"].shape == (2, 256)
    assert names["feature_map"].shape == (2, 2048, 8, 4, 4)
    assert names["tokens"].shape == (6, 2, 8, 2048)
    assert names["crops"].shape == (6, 2, 256)


def test_example_with_two_pathways_gives_the_shapes_it_states() -> None:
    names = run_example(1)
    assert [tuple(pathway) for pathway in names["trunk"].pathways] == [(2048, (4, 32, 32)), (256, (1, 32, 32))]
    assert [tuple(one.shape) for one in names["maps"]] == [(2, 2048, 2, 4, 4), (2, 256, 8, 4, 4)]
    assert names["crops"].shape == (6, 2, 256)


def test_example_with_pytorchvideos_data_sets_gives_the_batch_it_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clips").mkdir()
    files = [make_clip(tmp_path / "clips" / f"{number}.mp4", number, audio=number == 0) for number in range(2)]
    (tmp_path / "clips" / "train.csv").write_text("".join(f"{file} {i}\n" for i, file in enumerate(files)))
    monkeypatch.chdir(tmp_path)
    names = run_example(2)
    batch = names["batch"]
    assert batch["video"].shape == (2, 3, 8, 112, 112)
    assert batch["audio"].shape == (2, 24000)
    assert [bool(share) for share in batch["audio_valid"][batch["label"].argsort()]] == [True, False]
    assert list(names["videos"].labels) == [0, 1]
    assert names["sample_windows"](1.5, torch.Generator())["clip"].seconds == 1.0


def test_its_oldest_torch_is_that_of_the_packaging() -> None:
    (oldest,) = re.findall(r"torch you have \(≥ ([\d.]+)\)", README.read_text(encoding="utf-8"))
    setup = (README.parent / "setup.py").read_text(encoding="utf-8")
    assert re.findall(r'"torch>=([\d.]+).0,', setup) == [oldest]


def test_every_file_and_make_target_it_names_exists() -> None:
    text = README.read_text(encoding="utf-8")
    root = README.parent
    for name in set(re.findall(r"projects/[\w/]+\.yaml|tools/\w+\.py|constraints\.txt", text)):
        assert (root / name).is_file(), name
    targets = (root / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", text)) - {"are"}:
        assert re.search(rf"^{target}:", targets, re.MULTILINE), target
