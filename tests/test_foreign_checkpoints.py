"""Checkpoints that somebody else made, in every command that reads one: no code is started, one line says why not."""

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import pytest
import torch
import yaml
from tiny_runs import REPOSITORY, arguments, run_tiny, write_tiny

from stica_pv.config.node import set_key
from stica_pv.defaults import get_cfg
from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import as_trained
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import UsageError
from stica_pv.report.run_config import configuration_of

EVIL = "evil_code_of_the_tests"
Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def trained(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    run_tiny(clips_folder, folder, TRAIN__MAX_STEPS=1)
    return list_checkpoints(folder)[-1]


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a mark when it is imported, in the working directory; returns the mark."""
    (tmp_path / f"{EVIL}.py").write_text(
        "import pathlib\nfrom stica_pv.models import create_backbone\n"
        f"pathlib.Path({str(tmp_path / 'mark')!r}).touch()\n"
        "def build(width=4):\n    return create_backbone('r2plus1d_10', width=width)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, EVIL, raising=False)
    return tmp_path / "mark"


def naming(key: str, value: Any) -> Change:
    """Puts a setting into the configuration of a checkpoint."""

    def change(whole: dict[str, Any]) -> dict[str, Any]:
        config = yaml.safe_load(whole["config"])
        node = config
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
        return {**whole, "config": yaml.safe_dump(config)}

    return change


def changed(trained: Path, to: Path, change: Change) -> Path:
    torch.save(change(load_checkpoint(trained)), to)
    return to


def answers(path: Path, clips: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[int, str]]:
    """Exit code and stderr of every command, given one checkpoint."""
    cfg = write_tiny(folder / "tiny.yaml")
    (folder / "run" / "checkpoints").mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "run" / "checkpoints" / "step_00000001.pyth")
    common = arguments(clips, folder / "out")
    commands: dict[str, list[object]] = {
        "run_net": ["--cfg", cfg, *common, "TRAIN.ENABLE", False, "TEST.ENABLE", True],
        "inspect_batch": ["--cfg", cfg, *common, "--checkpoint", path],
        "extract_features": ["--checkpoint", path, "--data", clips, "--output", folder / "features", "NUM_GPUS", 0],
        "export": [path, folder / "out.pth", "--what", "encoder"],
    }
    commands["run_net"] += ["TEST.CHECKPOINT_FILE_PATH", path]
    found = {}
    for name, argv in commands.items():
        spec = importlib.util.spec_from_file_location(f"{name}_of_the_tests", REPOSITORY / "tools" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        capsys.readouterr()
        code = tool.main([str(argument) for argument in argv])
        found[name] = (code, capsys.readouterr().err)
    try:
        torch.hub.load(str(REPOSITORY), "stica_encoder", source="local", checkpoint=str(path))
        found["torch.hub"] = (0, "")
    except UsageError as error:
        found["torch.hub"] = (2, f"error: {error}\n")
    return found


CODE = {
    "function": naming("MODEL.ARCH", f"{EVIL}:build"),
    "relative": naming("MODEL.ARCH", f"..{EVIL}:build"),
    "imported": naming("MODEL.ARCH", "pytest:main"),
    "audio": naming("AUDIO.ARCH", f"{EVIL}:build"),
    "task": naming("TASK", f"{EVIL}:build"),
    "source": naming("MODEL.SOURCE", f"{EVIL}:build"),
}
MALFORMED: dict[str, tuple[Change, str]] = {
    "no config": (lambda whole: {name: value for name, value in whole.items() if name != "config"}, "config"),
    "bad yaml": (lambda whole: {**whole, "config": "MODEL: ["}, "not valid YAML"),
    "config a list": (lambda whole: {**whole, "config": "[1, 2]"}, "expected a mapping"),
    "config that holds itself": (lambda whole: {**whole, "config": "a: &a {b: *a}"}, "contains itself"),
    "a key twice": (lambda whole: {**whole, "config": "TASK: gdt\nTASK: gdt\n"}, "the key TASK is given twice"),
    "impossible width": (naming("HEAD.DIM", -3), "HEAD.DIM: got -3, expected at least 1"),
    "no text": (naming("POOL.NAME", [1]), "POOL.NAME: expected str"),
    "texts as weights": (
        lambda whole: {**whole, "model": dict.fromkeys(whole["model"], "x")},
        "no weights|is str",
    ),
    "wrong shapes": (lambda whole: {**whole, "model": {name: torch.ones(9) for name in whole["model"]}}, "match|fit"),
}


@pytest.mark.parametrize("case", CODE)
def test_a_file_starts_no_code_in_any_command(
    trained: Path, clips_folder: Path, tmp_path: Path, evil: Path, capsys: pytest.CaptureFixture[str], case: str
):
    path = changed(trained, tmp_path / "odd.pyth", CODE[case])
    for name, (code, err) in answers(path, clips_folder, tmp_path, capsys).items():
        assert code == 2, (name, err)
        assert err.startswith("error: "), name
        assert err.count("\n") == 1, (name, err)
        assert "names code, which a file must not import by itself" in err, (name, err)
    assert not evil.exists()


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_in_one_line_by_every_command(
    trained: Path, clips_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
):
    change, message = MALFORMED[case]
    path = changed(trained, tmp_path / "odd.pyth", change)
    for name, (code, err) in answers(path, clips_folder, tmp_path, capsys).items():
        assert code == 2, (name, err)
        assert err.startswith("error: "), name
        assert err.count("\n") == 1, (name, err)
        assert any(part in err for part in message.split("|")), (name, err)


def test_code_that_the_user_names_is_used(trained: Path, evil: Path, tmp_path: Path):
    checkpoint = CODE["function"](load_checkpoint(trained))
    cfg = get_cfg()
    with pytest.raises(UsageError, match=rf"add --import {EVIL} to the command \(or CUSTOM_IMPORTS '\[{EVIL}\]'\)"):
        as_trained(cfg, checkpoint)
    for key, value in (("CUSTOM_IMPORTS", [EVIL]), ("MODEL.ARCH", f"{EVIL}:build")):
        named = cfg.clone()
        set_key(named, key, value)
        arch = as_trained(named, checkpoint).MODEL.ARCH
        assert arch == f"{EVIL}:build"
    assert not evil.exists()
    path = changed(trained, tmp_path / "odd.pyth", CODE["function"])
    torch.hub.load(str(REPOSITORY), "stica_encoder", source="local", checkpoint=str(path), imports=[EVIL])
    assert evil.exists()


def test_a_run_folder_starts_no_code_either(trained: Path, evil: Path, tmp_path: Path):
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for text in (f"CUSTOM_IMPORTS: [{EVIL}]\n", f"MODEL: {{ARCH: '{EVIL}:build'}}\n"):
        (folder / "config.yaml").write_text(text)
        with pytest.raises(UsageError, match=r"config\.yaml: .* names code, which a file must not import by itself"):
            configuration_of(folder)
    assert not evil.exists()
    assert configuration_of(folder, ["CUSTOM_IMPORTS", EVIL]).CUSTOM_IMPORTS == [EVIL]
    assert evil.exists()  # the user named it


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def with_other_shapes(name: str) -> Change:
    def change(whole: dict[str, Any]) -> dict[str, Any]:
        if name == "model":
            return {**whole, "model": {key: torch.ones(9) for key in whole["model"]}}
        state = {key: {"momentum_buffer": torch.ones(9)} for key in whole["optimizer"]["state"]}
        return {**whole, "optimizer": {**whole["optimizer"], "state": state}}

    return change


@pytest.mark.parametrize("name", ["model", "optimizer"])
def test_a_run_does_not_go_on_from_other_shapes(trained: Path, clips_folder: Path, tmp_path: Path, name: str):
    folder = shutil.copytree(trained.parent.parent, tmp_path / "run")
    changed(trained, folder / "checkpoints" / trained.name, with_other_shapes(name))
    with pytest.raises(UsageError, match="checkpoint of step 1 does not fit the networks and the optimizer") as raised:
        run_tiny(clips_folder, folder, TRAIN__MAX_STEPS=2)
    assert "\n" not in str(raised.value)


def test_weights_to_begin_with_start_no_code_and_are_refused_when_malformed(
    trained: Path, clips_folder: Path, tmp_path: Path, evil: Path
):
    given = {"TRAIN__MAX_STEPS": 1, "TRAIN__CHECKPOINT_FILE_PATH": tmp_path / "odd.pyth"}
    changed(trained, tmp_path / "odd.pyth", CODE["function"])
    run_tiny(clips_folder, tmp_path / "run", **given)
    assert not evil.exists()
    cut_short(tmp_path / "odd.pyth")
    with pytest.raises(UsageError, match=r"odd\.pyth cannot be read"):
        run_tiny(clips_folder, tmp_path / "other", **given)
    for case in ("no config", "texts as weights", "wrong shapes"):
        changed(trained, tmp_path / "odd.pyth", MALFORMED[case][0])
        with pytest.raises(UsageError, match=MALFORMED[case][1]) as raised:
            run_tiny(clips_folder, tmp_path / "other", **given)
        assert "\n" not in str(raised.value)
