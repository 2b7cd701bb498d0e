"""Files are read with any wrapper, and never by running their code."""

import argparse
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from full_disk import full_disk

from stica_pv.errors import RunFailed, UsageError
from stica_pv.weights import read_weights, write_atomic
from stica_pv.weights.files import save_torch

STATE = {"stem.weight": torch.arange(6.0).view(2, 3), "stem.bias": torch.ones(2)}


def save(folder: Path, content: Any, **how: Any) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path, **how)
    return path


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod."])
def test_weights_are_found_in_every_wrapping(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    content = state if wrapper is None else {"epoch": 12, "optimizer": {"state": {}}, wrapper: state}
    weights = read_weights(save(tmp_path, content))
    assert weights.tensors.keys() == STATE.keys()
    # exact: copied, not calculated
    assert all(torch.equal(weights.tensors[name], STATE[name]) for name in STATE)
    assert weights.about.get("epoch") == (None if wrapper is None else 12)


def test_a_prefix_that_not_all_names_have_stays(tmp_path: Path) -> None:
    weights = read_weights(save(tmp_path, {"module.a": torch.ones(1), "b": torch.ones(1)}))
    assert weights.tensors.keys() == {"module.a", "b"}


def test_files_of_old_torch_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, {"state_dict": STATE}, _use_new_zipfile_serialization=False)  # as torch 1.3 wrote them
    assert read_weights(path).tensors.keys() == STATE.keys()


def test_safetensors_are_read_with_their_metadata(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="needs the extra `export`")
    path = tmp_path / "weights.safetensors"
    safetensors.save_file(STATE, path, metadata={"format": "pt", "epoch": "3"})
    weights = read_weights(path)
    # exact: copied, not calculated
    assert torch.equal(weights.tensors["stem.weight"], STATE["stem.weight"])
    assert weights.about["epoch"] == "3"


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    first = read_weights(save(tmp_path, STATE)).sha256
    assert first == read_weights(tmp_path / "weights.pth").sha256
    assert first != read_weights(save(tmp_path, {**STATE, "more": torch.ones(1)})).sha256


def test_objects_of_a_program_are_left_out_and_named(tmp_path: Path) -> None:
    content = {
        "state_dict": {**STATE, "odd": Path("x")},
        "args": argparse.Namespace(lr=0.1),
        "rates": [np.float64(0.5)],
    }
    weights = read_weights(save(tmp_path, content))
    assert weights.tensors.keys() == STATE.keys()
    assert [entry.split(" (")[0] for entry in weights.skipped] == ["state_dict", "args", "rates"]
    assert "args (argparse.Namespace)" in weights.skipped
    assert "args" not in weights.about


def test_a_whole_pickled_network_is_refused_with_advice(tmp_path: Path) -> None:
    path = save(tmp_path, torch.nn.Linear(2, 2))
    with pytest.raises(
        UsageError, match=r"holds an object of torch\.nn\.modules\.linear\.Linear.*state_dict\(\), file"
    ):
        read_weights(path)
    with pytest.raises(
        UsageError, match=r"holds no weights.*left out, .*: model \(torch\.nn\.modules\.linear\.Linear\)"
    ):
        read_weights(save(tmp_path, {"model": torch.nn.Linear(2, 2)}))


def test_a_plain_pickle_is_refused_and_a_text_is_no_file_of_weights(tmp_path: Path) -> None:
    (tmp_path / "caffe2.pkl").write_bytes(pickle.dumps({"blobs": {"conv1_w": np.ones(1)}}, protocol=4))
    with pytest.raises(UsageError, match="is a pickle that torch.save did not write"):
        read_weights(tmp_path / "caffe2.pkl")
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(UsageError, match=r"notes.txt cannot be read \(UnpicklingError\)"):
        read_weights(tmp_path / "notes.txt")


class Bomb:
    """Asks the reader to run a function."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "legacy"])
@pytest.mark.parametrize(
    ("function", "args"),
    [(Path.touch, (Path("exploded"),)), (os.system, ("touch exploded",)), (eval, ("open('exploded', 'w')",))],
    ids=["method", "system", "eval"],
)
def test_code_in_a_file_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], args: tuple[Any, ...], archive: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": STATE, "extra": Bomb(function, *args)}
    path = save(tmp_path, content, _use_new_zipfile_serialization=archive)
    weights = read_weights(path)
    assert not Path("exploded").exists()
    # exact: stored and read, not calculated
    assert all(torch.equal(weights.tensors[name], STATE[name]) for name in STATE)
    assert len(weights.skipped) == 1


@pytest.mark.parametrize(
    "target", [argparse.Namespace, torch._utils._rebuild_tensor_v2], ids=["inert class", "function of torch"]
)
def test_a_file_cannot_change_what_it_calls(tmp_path: Path, target: object) -> None:
    """BUILD sets attributes of any object on the stack, a class or a function too."""
    path = tmp_path / "weights.pth"
    global_ = pickle.dumps(target, protocol=2)[2:-1]
    build = b"N" + pickle.dumps({"__defaults__": (1,), "source": "x"}, protocol=2)[2:-1] + b"\x86b"
    torch.save({"state_dict": STATE, "bad": "HERE"}, path, _use_new_zipfile_serialization=False)
    marked = pickle.dumps("HERE", protocol=2)[2:-1]
    content = path.read_bytes()
    at = content.index(marked[:9])  # up to the memo, whose number depends on its place
    path.write_bytes(content[:at] + global_ + build + content[at + 9 :])
    with pytest.raises(UsageError, match="cannot be read"):
        read_weights(path)
    assert torch._utils._rebuild_tensor_v2.__defaults__ != (1,)


def test_a_torchscript_program_is_recognized(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(path))
    with pytest.raises(UsageError, match="is a TorchScript program"):
        read_weights(path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, name: str) -> None:
    pytest.importorskip("safetensors", reason="needs the extra `export`")
    path = tmp_path / name
    path.write_bytes(save(tmp_path, STATE).read_bytes()[:300])
    with pytest.raises(UsageError, match="cut off"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 1, "history": [1, 2]}, "holds no weights: expected tensors by name, .* found epoch, history"),
        ({}, "found nothing"),
        ([torch.ones(1)], "expected a dictionary of tensors, got list"),
    ],
)
def test_a_file_without_weights_says_what_it_holds(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_weights(save(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent.pth: there is no such file"):
        read_weights(tmp_path / "absent.pth")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "there.txt"
    path.write_text("old")
    with pytest.raises(UsageError, match="exists already"):
        write_atomic(path, lambda partial: partial.write_text("new"))
    assert path.read_text() == "old"


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match="cannot write .*No space left"):
        write_atomic(tmp_path / "new" / "file.txt", fail)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("save_as", "reason"), [(save_torch, "File too large"), (torch.save, "enforce fail")], ids=["ours", "torch"]
)
def test_a_full_disk_is_reported_in_one_line(tmp_path: Path, save_as: Callable[..., None], reason: str) -> None:
    content = {"weight": torch.ones(20_000)}
    with full_disk(), pytest.raises(UsageError, match=rf"^cannot write .*weights.pth: [^\n]*{reason}[^\n]*$"):
        write_atomic(tmp_path / "weights.pth", lambda path: save_as(content, path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [UsageError("no such layer"), RunFailed("other numbers"), RuntimeError("a bug")])
def test_what_is_no_error_of_the_disk_passes_through(tmp_path: Path, error: Exception) -> None:
    def fail(partial: Path) -> None:
        raise error

    with pytest.raises(type(error), match=f"^{error}$"):
        write_atomic(tmp_path / "file.txt", fail)


def test_without_the_extra_reading_safetensors_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(UsageError, match=r"x.safetensors: safetensors is not installed: pip install .*\[export\]"):
        read_weights(tmp_path / "x.safetensors")


def test_a_file_has_its_name_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"

    def write(partial: Path) -> None:
        partial.write_text("whole")
        assert not path.exists()

    write_atomic(path, write)
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]
