import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from made_checkpoints import content
from torch import nn

from stica_pv.engine import checkpoint as module
from stica_pv.engine import load_checkpoint, load_latest, load_weights, save_checkpoint
from stica_pv.engine.checkpoint import checkpoint_path, list_checkpoints
from stica_pv.errors import RunFailed, UsageError


@pytest.fixture(autouse=True)
def _visible_log(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)


def save(folder: Path, step: int, keep: int = 9, **more: Any) -> Path:
    path = checkpoint_path(folder, step)
    model = {"w": torch.full((3,), float(step))}
    save_checkpoint(path, content(step=step, model=model, **more), keep=keep)
    return path


def steps(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("step_")) for path in list_checkpoints(folder)]


def test_what_is_saved_is_loaded(tmp_path: Path):
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    path = save(tmp_path, 7, optimizer=optimizer.state_dict(), config="A: 1\n")
    loaded = load_checkpoint(path)
    assert loaded["step"] == 7
    assert torch.equal(loaded["model"]["w"], torch.full((3,), 7.0))  # exact: copied, not calculated
    assert loaded["optimizer"] == optimizer.state_dict()


def test_the_file_needs_no_trust(tmp_path: Path):
    path = save(tmp_path, 1)
    assert torch.load(path, weights_only=True)["format"] == module.FORMAT


def test_only_the_newest_are_kept(tmp_path: Path):
    for step in (3, 6, 9, 12):
        save(tmp_path, step, keep=2)
    assert steps(tmp_path) == [9, 12]


def test_a_broken_file_of_a_later_step_counts_as_none_of_the_newest(tmp_path: Path):
    save(tmp_path, 80)
    for step in (90, 100):
        save(tmp_path, step).write_bytes(b"rubbish")
    save(tmp_path, 85, keep=2)  # resumed from 80
    assert steps(tmp_path) == [80, 85, 90, 100]
    path = checkpoint_path(tmp_path, 88)
    save_checkpoint(path, content(step=88), keep=1, keep_every=40)
    assert steps(tmp_path) == [80, 88, 90, 100]
    assert load_checkpoint(path)["step"] == 88


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path):
    half = save(tmp_path, 1).with_name("step_00000009.partial")
    half.write_bytes(b"half a file")
    save(tmp_path, 2)
    assert not half.exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("[inline_container.cc] write")], ids=repr
)
def test_failure_while_writing_leaves_the_old_ones_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    save(tmp_path, 1)

    def fail(_: object, file: Any) -> None:
        file.write(b"half a file")
        raise error

    monkeypatch.setattr(module.torch, "save", fail)
    with pytest.raises(RunFailed, match="older checkpoints are untouched"):
        save(tmp_path, 2, keep=1)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000001.pyth"]
    assert load_checkpoint(checkpoint_path(tmp_path, 1))["step"] == 1


def test_an_error_that_is_not_of_writing_is_not_reported_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(content: object, file: Any) -> None:
        raise RuntimeError("a device has failed")

    monkeypatch.setattr(module.torch, "save", fail)
    with pytest.raises(RuntimeError, match="a device has failed"):
        save(tmp_path, 2)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_kill_while_writing_leaves_the_old_ones_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tmp_path, 1)

    def die(_: object, file: Any) -> None:
        file.write(b"half a file")
        file.flush()
        raise KeyboardInterrupt  # like a kill, no handler of ours tidies up after it

    with monkeypatch.context() as patch:
        patch.setattr(module.torch, "save", die)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2, keep=1)
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["step"] == 1
    assert load_checkpoint(save(tmp_path, 2, keep=1))["step"] == 2  # the half file is in nobody's way


def test_a_broken_newest_one_is_named_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    save(tmp_path, 1)
    broken = save(tmp_path, 2)
    broken.write_bytes(broken.read_bytes()[:200])
    with caplog.at_level(logging.WARNING, logger="stica_pv"):
        latest = load_latest(tmp_path)
    assert latest is not None
    assert latest["step"] == 1
    assert str(broken) in caplog.text


def test_when_all_are_broken_beginning_anew_is_left_to_the_user(tmp_path: Path):
    for step in (1, 2):
        save(tmp_path, step).write_bytes(b"rubbish")
    with pytest.raises(UsageError, match="all 2 checkpoints in .* are broken: move them away"):
        load_latest(tmp_path)


def test_a_folder_without_checkpoints_has_no_latest(tmp_path: Path):
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "absent") is None


def test_other_files_are_no_checkpoints_of_the_run(tmp_path: Path):
    folder = save(tmp_path, 5).parent
    for name in ("step_9.pyth", "step_00000009.pyth.bak", "best.pyth", "step_00000009.partial"):
        (folder / name).write_bytes(b"")
    assert steps(tmp_path) == [5]


def test_missing_foreign_and_unsafe_files_are_usage_errors(tmp_path: Path):
    torch.save({"state_dict": {}}, tmp_path / "foreign.pyth")
    torch.save([1, 2], tmp_path / "list.pyth")
    torch.save(nn.Linear(1, 1), tmp_path / "code.pyth")  # a pickled object would run code
    (tmp_path / "empty.pyth").touch()
    for name, message in (
        ("absent.pyth", "there is no such file"),
        ("foreign.pyth", "not written by this package"),
        ("list.pyth", "not written by this package"),
        ("code.pyth", "needs pickle"),
        ("empty.pyth", "cannot be read"),
    ):
        with pytest.raises(UsageError, match=message) as raised:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(raised.value)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))


def test_weights_that_match_are_loaded_and_the_others_named(caplog: pytest.LogCaptureFixture):
    module, other = net(), net()
    before = module[1].weight.clone()
    state = {**other.state_dict(), "extra": torch.ones(1), "1.weight": torch.ones(9, 9)}
    with caplog.at_level(logging.INFO, logger="stica_pv"):
        load_weights(module, state, min_share=0.75, source="some file")
    assert torch.equal(module[0].weight, other[0].weight)  # exact: copied, not calculated
    assert torch.equal(module[1].weight, before)  # exact: copied, not calculated
    assert "some file: 3 of 4 tensors match; missing 1 ['1.weight'], unexpected 2 ['1.weight', 'extra']" in caplog.text


def test_too_few_matches_are_refused_and_nothing_is_loaded():
    module = net()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(UsageError, match=r"2 of 4 tensors match.*at least 60% must match"):
        load_weights(module, {k: v + 1 for k, v in before.items() if k[0] == "0"}, min_share=0.6, source="x")
    # exact: copied, not calculated
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
