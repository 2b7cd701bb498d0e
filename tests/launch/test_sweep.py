from pathlib import Path

import pytest

from stica_pv.errors import UsageError
from stica_pv.launch.sweep import expand

DEMO = "projects/stica/demo.yaml"


def folders_and(key: str, *sweeps: tuple[str, str], overrides: tuple[str, ...] = ()) -> list[tuple[str, object]]:
    cfgs = expand([DEMO], overrides, sweeps)
    section, _, name = key.rpartition(".")
    return [(cfg.OUTPUT_DIR, cfg[section][name] if section else cfg[name]) for cfg in cfgs]


def test_without_a_sweep_a_file_is_a_run():
    assert folders_and("RNG_SEED") == [("output/stica/demo", 0)]


def test_each_value_is_a_run_in_a_folder_of_its_own():
    found = folders_and("SOLVER.BASE_LR", ("SOLVER.BASE_LR", "0.1, 0.2"))
    assert found == [("output/stica/demo/base_lr-0.1", 0.1), ("output/stica/demo/base_lr-0.2", 0.2)]


def test_two_sweeps_give_every_combination():
    found = folders_and("RNG_SEED", ("SOLVER.BASE_LR", "0.1,0.2"), ("RNG_SEED", "1,2,3"), overrides=("OUTPUT_DIR", "o"))
    assert len(found) == 6
    assert found[-1] == ("o/base_lr-0.2__rng_seed-3", 3)


def test_commas_within_brackets_do_not_divide():
    found = folders_and("DATA.MEAN", ("DATA.MEAN", "[0.1,0.2,0.3],(0.4, 0.5, 0.6)"))
    assert [value for _, value in found] == [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]


def test_keys_that_do_not_name_the_folder_can_be_swept_too():
    assert len({folder for folder, _ in folders_and("LOG_PERIOD", ("LOG_PERIOD", "1,2"))}) == 2


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (("SOLVER.BASELR", "1,2"), "did you mean SOLVER.BASE_LR"),
        (("SOLVER.BASE_LR", "0.1,x"), "expected float"),
        (("SOLVER.BASE_LR", "0.1,0.1"), "several runs share OUTPUT_DIR"),
        (("OUTPUT_DIR", "a,b"), "each run of a sweep has its own folder"),
    ],
)
def test_a_wrong_sweep_is_refused(sweep: tuple[str, str], message: str):
    with pytest.raises(UsageError, match=message):
        expand([DEMO], (), [sweep])


def test_two_files_with_one_folder_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="several runs share OUTPUT_DIR"):
        expand([DEMO, DEMO], ["OUTPUT_DIR", str(tmp_path)], ())
