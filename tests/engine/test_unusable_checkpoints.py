"""Checkpoints that are damaged, malformed, or of a later version: none is taken for a good one, none is overwritten."""

import logging
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from made_checkpoints import content

from stica_pv.engine import load_checkpoint, load_latest, save_checkpoint
from stica_pv.engine.checkpoint import FORMAT, NewerFormat, checkpoint_path, list_checkpoints
from stica_pv.engine.resume import find_checkpoint
from stica_pv.errors import UsageError

FLIPS = 60
NEWER = "stica_pv checkpoint 2"


@pytest.fixture(autouse=True)
def _visible_log(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)


def save(folder: Path, step: int, **changes: Any) -> Path:
    path = checkpoint_path(folder, step)
    save_checkpoint(path, content(step=step, model={"w": torch.linspace(0, 1, 300) + step}, **changes), keep=9)
    return path


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_a_flipped_bit_of_the_weights_is_found_and_the_older_file_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    at = newest.read_bytes().index((torch.linspace(0, 1, 300) + 2).numpy().tobytes())
    flip(newest, 8 * at + 8 * 700 + 3)
    with caplog.at_level(logging.WARNING, logger="stica_pv"):
        latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["step"] == 1
    assert f"skipped: {newest} cannot be read" in caplog.text


def test_no_flipped_bit_anywhere_in_a_file_changes_what_is_loaded(tmp_path: Path):
    path = save(tmp_path, 2)
    whole, before = path.read_bytes(), load_checkpoint(path)
    rng, refused = random.Random(0), 0
    at = [rng.randrange(8 * len(whole)) for _ in range(FLIPS)]
    # And among the archive's own notes, one of which makes a folder of the weights.
    at += [rng.randrange(8 * (len(whole) - 1500), 8 * len(whole)) for _ in range(FLIPS)]
    at.append(8 * (whole.rindex(b"archive/data/0") - 8) + 4)
    for bit in at:
        path.write_bytes(whole)
        flip(path, bit)
        try:
            loaded = load_checkpoint(path)
        except UsageError:
            refused += 1
            continue
        # exact: stored and read, not calculated
        assert torch.equal(loaded.pop("model")["w"], before["model"]["w"]), bit
        assert loaded == {name: value for name, value in before.items() if name != "model"}, bit
    assert refused > FLIPS  # the others hit padding, dates and the like


@pytest.mark.parametrize("resume", [True, False])
def test_a_newer_format_ends_the_run_and_stays_as_it_is(tmp_path: Path, resume: bool):
    save(tmp_path, 1)
    newest = checkpoint_path(tmp_path, 2)
    torch.save({"format": NEWER, "shards": {"w": torch.ones(3)}}, newest)
    before = newest.read_bytes()
    with pytest.raises(UsageError, match="update stica_pv" if resume else "AUTO_RESUME is False"):
        find_checkpoint(tmp_path, resume=resume, list_hash="abc")
    with pytest.raises(NewerFormat, match=f"{newest.name} is of the format '{NEWER}', .* reads '{FORMAT}': update"):
        load_latest(tmp_path)
    assert newest.read_bytes() == before
    assert list_checkpoints(tmp_path)[-1] == newest


MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "config a number": ({"config": 5}, "config should be of type str, and is int"),
    "step a text": ({"step": "4"}, "step should be of type int, and is str"),
    "weights a list": ({"model": [torch.ones(2)]}, "model should be of type dict, and is list"),
    "a weight a text": ({"model": {"w": "hello"}}, "'w' is str"),
    "optimizer a tensor": ({"optimizer": torch.ones(2)}, "optimizer should be of type dict, and is Tensor"),
    **{f"no {name}": ({name: None}, f"{name} should be of type") for name in ("config", "step", "model", "meter")},
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_in_one_line_and_skipped_on_resuming(tmp_path: Path, case: str):
    changes, message = MALFORMED[case]
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    made = {"format": FORMAT, **content(step=2), **changes}
    torch.save({name: value for name, value in made.items() if value is not None}, path)
    with pytest.raises(UsageError, match=f"{path.name} is malformed: .*{message}") as raised:
        load_checkpoint(path)
    assert "\n" not in str(raised.value)
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["step"] == 1
