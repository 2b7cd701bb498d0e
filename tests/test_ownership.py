"""Keys of one method, given to another."""

from pathlib import Path

import pytest

from stica_pv.config import flatten
from stica_pv.config.keys import TABLE, check_ownership
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure
from stica_pv.registry import TASKS


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_key_of_another_method_is_refused_by_name_from_the_file_or_the_command_line(tmp_path: Path):
    mine = write(tmp_path / "a.yaml", "TASK: gdt\nCROP: {NUM_SMALL_TEMPORAL: 2}\n")
    with pytest.raises(UsageError, match=r"TASK gdt never reads CROP\.NUM_SMALL_TEMPORAL \(TASK av_contrastive does\)"):
        configure(mine, [])
    plain = write(tmp_path / "b.yaml", "TASK: cvrl\n")
    with pytest.raises(UsageError, match=r"DATA\.MISSING_AUDIO \(TASK av_contrastive or brave or gdt does\)"):
        configure(plain, ["DATA.MISSING_AUDIO", "silence"])
    with pytest.raises(
        UsageError, match=r"CONTRASTIVE\.TEMPERATURE_WITHIN"
    ):  # not CONTRASTIVE.TEMPERATURE, of which it is no part
        configure(plain, ["CONTRASTIVE.TEMPERATURE", "0.2", "CONTRASTIVE.TEMPERATURE_WITHIN", "0.2"])


def test_what_changes_nothing_and_what_a_base_brings_is_let_be(tmp_path: Path):
    write(tmp_path / "stica.yaml", "CROP: {NUM_SMALL_TEMPORAL: 2}\n")
    mine = write(tmp_path / "a.yaml", "_BASE_: stica.yaml\nTASK: gdt\nCROP: {NUM_LARGE_SPATIAL: 2}\n")
    cfg = configure(mine, ["CROP.NUM_SMALL_SPATIAL", "4", "GDT.HYPOTHESIS", "h1"])
    assert (cfg.CROP.NUM_SMALL_TEMPORAL, cfg.GDT.HYPOTHESIS) == (2, "h1")


def test_an_evaluation_takes_its_task_from_the_checkpoint_and_a_task_of_ones_own_may_read_anything(tmp_path: Path):
    mine = write(tmp_path / "a.yaml", "CROP: {NUM_SMALL_TEMPORAL: 2}\n")
    configure(mine, ["TASK", "gdt", "TRAIN.ENABLE", "False"])
    configure(mine, ["TASK", "my_method"])
    configure(mine, ["TASK", "gdt"], trains=False)  # weights that are converted


def test_each_task_is_named_with_keys_that_there_are():
    known = [key for key, _ in flatten(get_cfg())]
    assert TABLE.tasks.keys() <= set(TASKS.names())
    for task in TABLE.tasks.values():
        assert set(task.reads or ()) <= set(known)
    assert {key.task for key in TABLE.keys.values() if key.task} <= TABLE.tasks.keys()
    check_ownership(get_cfg(), known)
