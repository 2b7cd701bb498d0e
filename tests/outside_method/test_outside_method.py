"""A method outside the package, in three files: task, configuration, recipe. Its keys are keys like all others."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from tiny_runs import REPOSITORY, arguments, losses

import stica_pv.config.keys as declared
from stica_pv.config.declared import check_keys, read_table
from stica_pv.config.keys import TABLE, KeyTable, is_adopted, is_free
from stica_pv.config.reference import explain
from stica_pv.defaults import get_cfg
from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import as_trained
from stica_pv.errors import UsageError
from stica_pv.exchange.described import load_encoder
from stica_pv.launch.configuration import configure
from stica_pv.registry import TASKS
from stica_pv.report.run_config import configuration_of
from stica_pv.workflows.run import run

HERE = Path(__file__).parent
RECIPE = str(HERE / "barlow.yaml")
KEY = "BARLOW.REDUNDANCY_WEIGHT"
MODULES = ("barlow_config", "barlow_task")


def forget() -> None:
    """Undoes the imports, as in a process that has not named them."""
    for module in MODULES:
        sys.modules.pop(module, None)
    for table in (TABLE.keys, TABLE.tasks):
        for name in [name for name in table if name.lower().startswith("barlow")]:
            del table[name]
    TASKS._obj_map.pop("barlow", None)


@pytest.fixture(autouse=True)
def module_on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(HERE)
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def trained(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("barlow") / "run"
    sys.path.insert(0, str(HERE))
    try:
        cfg = configure(RECIPE, arguments(clips_folder, folder))
        cfg.freeze()
        run(cfg, torch.device("cpu"))
    finally:
        sys.path.remove(str(HERE))
        forget()
    return folder


def checkpoint_of(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("*.pyth"))


def test_its_key_is_judged_after_its_module_is_imported():
    with pytest.raises(UsageError, match=rf"unknown key {KEY}"):
        check_keys([], [KEY, "1"])
    with pytest.raises(UsageError, match=r"unknown key BARLOW.WEIGHT \(did you mean BARLOW.REDUNDANCY_WEIGHT\?\)"):
        check_keys([RECIPE], ["BARLOW.WEIGHT", "1"])
    check_keys([RECIPE], [KEY, "1"])
    with pytest.raises(UsageError, match=rf"{KEY}: got -1.0, expected above 0"):
        configure(RECIPE, [KEY, "-1"])
    with pytest.raises(UsageError, match=rf"TASK gdt never reads {KEY} \(TASK barlow does\)"):
        configure(RECIPE, ["TASK", "gdt"])
    assert configure(RECIPE, ["CONTRASTIVE.TEMPERATURE", "0.3"]).BARLOW.REDUNDANCY_WEIGHT == 0.01
    assert is_adopted(KEY)
    assert not is_free(KEY)
    assert "lambda in the paper" in explain(KEY, read_table())


def test_the_command_prints_and_explains_its_key(capsys: pytest.CaptureFixture[str]):
    main = runpy.run_path(str(REPOSITORY / "tools" / "run_net.py"))["main"]
    assert main(["--cfg", RECIPE, "--explain", KEY]) == 0
    assert "declared in  barlow_config" in capsys.readouterr().out
    assert main(["--cfg", RECIPE, "--print_cfg"]) == 0
    assert "BARLOW:\n  REDUNDANCY_WEIGHT: 0.01\n" in capsys.readouterr().out
    assert main(["--cfg", RECIPE, "CUSTOM_IMPORTS", "no_such_module"]) == 2
    assert capsys.readouterr().err.startswith("error: CUSTOM_IMPORTS: no_such_module: ")


def test_it_trains_and_its_checkpoint_describes_itself(trained: Path):
    assert len(losses(trained)) == 3
    path = checkpoint_of(trained)
    assert yaml.safe_load(load_checkpoint(path)["config"])["BARLOW"] == {"REDUNDANCY_WEIGHT": 0.01}
    with pytest.raises(UsageError, match=r"BARLOW.*CUSTOM_IMPORTS '\[barlow_config\]'"):
        as_trained(get_cfg(), load_checkpoint(path))
    encoder = load_encoder(path, imports=["barlow_config"])
    assert encoder(torch.zeros(2, 3, 4, 32, 32, dtype=torch.uint8)).shape[0] == 2
    cfg = get_cfg()
    cfg.CUSTOM_IMPORTS = ["barlow_config"]
    assert as_trained(cfg, load_checkpoint(path)).BARLOW.REDUNDANCY_WEIGHT == 0.01


def test_another_value_of_its_key_is_another_run_and_the_folder_names_the_module(trained: Path, clips_folder: Path):
    other = configure(RECIPE, arguments(clips_folder, trained, **{KEY.replace(".", "__"): 0.5}))
    with pytest.raises(UsageError, match=rf"holds another run \(1 keys differ: {KEY} 0.01 -> 0.5\)"):
        run(other, torch.device("cpu"))
    forget()
    with pytest.raises(UsageError, match=r"config.yaml: CUSTOM_IMPORTS \['barlow_config'\] names code"):
        configuration_of(trained)
    found = configuration_of(trained, ["CUSTOM_IMPORTS", "barlow_config"])
    assert (found.TASK, found.BARLOW.REDUNDANCY_WEIGHT) == ("barlow", 0.01)


def test_a_key_of_two_modules_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(declared, "TABLE", KeyTable(dict(TABLE.keys)))
    key = declared.Key("BLUR_PROB", 0.5, "Mine.")
    with pytest.raises(UsageError, match="DATA.BLUR_PROB is declared by stica_pv.transforms.config and mine: rename"):
        declared.declare_keys("mine", "DATA", TABLE.keys["TASK"].role, key)  # type: ignore[arg-type]
