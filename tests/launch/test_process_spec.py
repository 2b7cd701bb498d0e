"""The specification of a process, read from its environment."""

from stica_pv.launch.process_spec import ProcessSpec, ranges, spec_from_environment


def test_the_process_that_the_environment_defines():
    assert spec_from_environment({}, gpu=False, log_dir="") is None
    spec = spec_from_environment({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, gpu=False, log_dir="")
    assert spec == ProcessSpec(3, 1, 4, "env://", False, "")
    by_torchrun = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    spec = spec_from_environment(by_torchrun, gpu=False, log_dir="", token="t")
    assert spec == ProcessSpec(1, 1, 2, "env://", False, "", one_machine=True, hosted=True, token="t")


def test_ranges_are_short():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
