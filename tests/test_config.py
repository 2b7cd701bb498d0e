"""Strict configuration: what is accepted, and what the message says of what is not."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import REPOSITORY

from stica_pv.config import CfgNode, apply_overrides, flatten, merge_file, with_keys
from stica_pv.config.declared import declared_keys, read_table
from stica_pv.config.node import set_key
from stica_pv.config.slowfast import FOREIGN_KEYS, USUAL_NAMES
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError

Write = Callable[..., Path]


@pytest.fixture
def cfg() -> CfgNode:
    return CfgNode(
        {
            "TASK": "av_contrastive",
            "NUM_GPUS": -1,
            "CUSTOM_IMPORTS": [],
            "SOLVER": {"BASE_LR": 0.1, "STEPS": [1, 2], "MAX_EPOCH": 10, "NESTEROV": False, "BETAS": [0.9, 0.999]},
        }
    )


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "a.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def value(cfg: CfgNode, key: str) -> Any:
    return dict(flatten(cfg))[key]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("TASK", "gdt", "gdt"),
        ("TASK", "2024", "2024"),
        ("NUM_GPUS", "0", 0),
        ("SOLVER.BASE_LR", "0.5", 0.5),
        ("SOLVER.BASE_LR", "1e-5", 1e-5),
        ("SOLVER.BASE_LR", "1", 1.0),
        ("SOLVER.NESTEROV", "True", True),
        ("SOLVER.STEPS", "[3, 4, 5]", [3, 4, 5]),
        ("SOLVER.STEPS", "(3, 4)", [3, 4]),
        ("SOLVER.STEPS", "[]", []),
        ("SOLVER.STEPS", "7", [7]),
        ("SOLVER.BETAS", "[0, 1]", [0.0, 1.0]),
        ("CUSTOM_IMPORTS", "['my.module']", ["my.module"]),
        ("CUSTOM_IMPORTS", "my.module", ["my.module"]),
        ("CUSTOM_IMPORTS", "[knn, svm]", ["knn", "svm"]),
        ("CUSTOM_IMPORTS", "[1, 1e-1]", [1, 0.1]),
        ("CUSTOM_IMPORTS", "1:2", ["1:2"]),
        ("CUSTOM_IMPORTS", "[]", []),
        ("SOLVER.BETAS", "[9e-1, .999]", [0.9, 0.999]),
        ("SOLVER.NESTEROV", "true", True),
    ],
)
def test_override_is_read_as_the_type_of_its_default(cfg: CfgNode, key: str, text: str, expected: Any):
    apply_overrides(cfg, [key, text])
    assert value(cfg, key) == expected
    assert repr(value(cfg, key)) == repr(expected)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("SOLVER.BASE_LR", "fast", r"SOLVER\.BASE_LR: expected float \(as its default 0\.1\), got str 'fast'"),
        ("SOLVER.BASE_LR", "True", r"SOLVER\.BASE_LR: expected float .* got bool True"),
        ("SOLVER.MAX_EPOCH", "1.5", r"SOLVER\.MAX_EPOCH: expected int .* got float 1\.5"),
        ("SOLVER.MAX_EPOCH", "True", r"expected int .* got bool True"),
        ("SOLVER.NESTEROV", "1", r"SOLVER\.NESTEROV: expected bool .* got int 1"),
        ("SOLVER.STEPS", "[1, 'x']", r"SOLVER\.STEPS\[1\]: expected int .* got str 'x'"),
        ("NUM_GPUS", "None", r"NUM_GPUS: expected int .* got str 'None'"),
    ],
)
def test_override_of_the_wrong_type_is_refused(cfg: CfgNode, key: str, text: str, message: str):
    with pytest.raises(UsageError, match=message):
        apply_overrides(cfg, [key, text])


def test_a_list_without_a_default_takes_numbers_of_both_kinds_however_often_it_is_set(cfg: CfgNode, write: Write):
    merge_file(cfg, write("CUSTOM_IMPORTS: [1, 0.1]\n"))
    apply_overrides(cfg, ["CUSTOM_IMPORTS", "[1, 0.5]", "CUSTOM_IMPORTS", "[0.5, 1]", "CUSTOM_IMPORTS", "[2, 0.25]"])
    assert cfg.CUSTOM_IMPORTS == [2, 0.25]


@pytest.mark.parametrize("text", ["[knn", "{a: 1, a: 2}", "@x"])
def test_a_value_that_is_no_yaml_is_refused_with_its_key(cfg: CfgNode, text: str):
    with pytest.raises(UsageError, match=r"^CUSTOM_IMPORTS .*: not valid YAML: ") as raised:
        apply_overrides(cfg, ["CUSTOM_IMPORTS", text])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["[knn, svm]", "7", "x", "(1, 2)", "[1, 2e-1]", "['1', true]", "0x10"])
def test_a_list_on_the_command_line_is_what_it_is_in_a_file(cfg: CfgNode, write: Write, text: str):
    typed = cfg.clone()
    apply_overrides(typed, ["CUSTOM_IMPORTS", text])
    merge_file(cfg, write(f"CUSTOM_IMPORTS: {text}\n"))
    assert repr(typed.CUSTOM_IMPORTS) == repr(cfg.CUSTOM_IMPORTS)


def test_last_override_wins(cfg: CfgNode):
    apply_overrides(cfg, ["TASK", "gdt", "NUM_GPUS", "2", "TASK", "cvrl"])
    assert (cfg.TASK, cfg.NUM_GPUS) == ("cvrl", 2)


def test_odd_number_of_words_is_refused_with_the_last_one(cfg: CfgNode):
    with pytest.raises(UsageError, match=r"pairs KEY VALUE, got 3 arguments, the last one 'SOLVER\.STEPS'"):
        apply_overrides(cfg, ["TASK", "gdt", "SOLVER.STEPS"])


@pytest.mark.parametrize(
    ("key", "nearest"), [("SOLVER.BASE_RL", "SOLVER.BASE_LR"), ("TASKS", "TASK"), ("SOLVER.STEP", "SOLVER.STEPS")]
)
def test_unknown_key_names_the_nearest(cfg: CfgNode, key: str, nearest: str):
    with pytest.raises(UsageError) as raised:
        apply_overrides(cfg, [key, "1"])
    assert str(raised.value) == f"unknown key {key} (did you mean {nearest}?)"


def test_a_whole_section_cannot_be_set(cfg: CfgNode):
    with pytest.raises(UsageError, match="SOLVER is a section: set its keys"):
        apply_overrides(cfg, ["SOLVER", "1"])


def test_slowfast_key_names_what_to_use_instead(cfg: CfgNode):
    with pytest.raises(UsageError, match="SlowFast key without effect here: use TASK"):
        apply_overrides(cfg, ["CONTRASTIVE.TYPE", "moco"])
    with pytest.raises(UsageError, match="SlowFast key"):
        set_key(cfg, "RESNET.DEPTH", 50)
    for name, ours in USUAL_NAMES.items():
        with pytest.raises(UsageError, match=rf"unknown key {name} \(did you mean {ours}\?\)"):
            apply_overrides(cfg, [name, "1"])


def test_a_declared_key_is_ours_even_if_slowfast_has_it_too(cfg: CfgNode):
    cfg.DIST_BACKEND = "x"  # a foreign key, declared after all
    set_key(cfg, "DIST_BACKEND", "y")
    assert cfg.DIST_BACKEND == "y"


def test_file_sets_its_keys_and_keeps_the_others(cfg: CfgNode, write: Write):
    merge_file(cfg, write("SOLVER:\n  BASE_LR: 1e-5\n  STEPS: [5]\nTASK: gdt\n"))
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.STEPS, cfg.SOLVER.MAX_EPOCH, cfg.TASK) == (1e-5, [5], 10, "gdt")


def test_bases_are_merged_before_the_file_and_found_beside_it(cfg: CfgNode, write: Write):
    write("NUM_GPUS: 1\nTASK: one\nSOLVER:\n  MAX_EPOCH: 1\n", "root.yaml")
    write("_BASE_: ../root.yaml\nTASK: two\nSOLVER:\n  BASE_LR: 2\n", "sub/middle.yaml")
    merge_file(cfg, write("_BASE_: middle.yaml\nTASK: three\n", "sub/leaf.yaml"))
    assert (cfg.NUM_GPUS, cfg.TASK, cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.BASE_LR) == (1, "three", 1, 2.0)


def test_merging_leaves_the_list_of_the_defaults_alone(cfg: CfgNode, write: Write):
    default = cfg.clone()
    other = default.clone()
    merge_file(other, write("SOLVER:\n  STEPS: [9]\n"))
    assert default.SOLVER.STEPS == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SOLVER:\n  BASE_RL: 1\n", r"a\.yaml: unknown key SOLVER\.BASE_RL \(did you mean SOLVER\.BASE_LR\?\)"),
        ("SOLVER:\n  MAX_EPOCH: ten\n", r"a\.yaml: SOLVER\.MAX_EPOCH: expected int .* got str 'ten'"),
        ("RESNET:\n  DEPTH: 50\n", r"a\.yaml: RESNET\.DEPTH is a SlowFast key"),
        ("SOLVER: [1\n", r"a\.yaml: not valid YAML: "),
        (
            "SOLVER:\n  MAX_EPOCH: 1\nTASK: x\nSOLVER:\n  BASE_LR: 1\n",
            r"not valid YAML: line 4: .*key SOLVER is given twice",
        ),
        ("SOLVER:\n  MAX_EPOCH: 1\n  MAX_EPOCH: 1\n", r"not valid YAML: line 3: .*key MAX_EPOCH is given twice"),
        ("CUSTOM_IMPORTS: [{a: 1}]\n", r"CUSTOM_IMPORTS: expected a list of plain values, got \{'a': 1\}"),
        ("_BASE_: a.yaml\n", r"a\.yaml: its _BASE_ includes the file itself"),
        ("_BASE_: [3]\n", r"a\.yaml: expected _BASE_ to name a file, got 3"),
        ("a: &a {b: *a}\n", r"a\.yaml: expected a mapping of keys to values, got one that contains itself"),
        ("- 1\n- 2\n", r"a\.yaml: expected a mapping of keys to values"),
        ("hello\n", r"a\.yaml: expected a mapping of keys to values"),
        ("", r"a\.yaml: expected a mapping of keys to values"),
        ("_BASE_: none.yaml\n", r"a\.yaml: its _BASE_ cannot be read: .*none\.yaml"),
    ],
)
def test_file_at_fault_is_named_with_its_fault_in_one_line(cfg: CfgNode, write: Write, text: str, message: str):
    with pytest.raises(UsageError, match=message) as raised:
        merge_file(cfg, write(text))
    assert "\n" not in str(raised.value)


def test_missing_file_is_named(cfg: CfgNode, tmp_path: Path):
    with pytest.raises(UsageError, match=r"none\.yaml: there is no such file"):
        merge_file(cfg, tmp_path / "none.yaml")


def test_flatten_yields_leaves_with_dotted_names(cfg: CfgNode):
    assert list(flatten(cfg))[:4] == [
        ("TASK", "av_contrastive"),
        ("NUM_GPUS", -1),
        ("CUSTOM_IMPORTS", []),
        ("SOLVER.BASE_LR", 0.1),
    ]


def test_what_a_slowfast_key_points_to_exists():
    known = dict(flatten(get_cfg()))
    for foreign, advice in FOREIGN_KEYS.items():
        assert foreign not in known
        for key in re.findall(r"\b[A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)+\b", advice):
            assert key in known, f"{foreign}: {key}"


def test_the_keys_read_from_the_source_are_those_of_the_defaults():
    table, known = read_table(), dict(flatten(get_cfg()))
    assert declared_keys().keys() == known.keys()
    assert {name: key.default for name, key in table.keys.items()} == known


def test_keys_are_checked_before_anything_heavy_is_imported(write: Write):
    write("TRAIN:\n  BACTH_SIZE: 3\n", "typo.yaml")
    program = (
        "import sys\nfrom stica_pv.config.declared import check_keys\nfrom stica_pv.errors import UsageError\n"
        "from pathlib import Path\n"
        "check_keys([sys.argv[1]], ['SYNTHETIC.CLUTTER', '1', 'OUTPUT_DIR', 'x'])\n"
        "typed = ['TRAIN.BACTH_SIZE', '3'], ['TRAIN', '3'], ['MODEL.DEPTH', ''], ['SOLVER.STEPS', '[1,', '2]']\n"
        "for given in ([sys.argv[2]], []), *(([], one) for one in typed):\n"
        "    try:\n        check_keys(*given)\n"
        "    except UsageError as error:\n        print(error)\n"
        "assert not {'torch', 'av', 'numpy'} & set(sys.modules)\n"
    )
    good = write("_BASE_: base.yaml\nTASK: gdt\n", "good.yaml")
    write("TRAIN:\n  BATCH_SIZE: 3\n", "base.yaml")
    command = [sys.executable, "-c", program, str(good), str(good.with_name("typo.yaml"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith("typo.yaml: unknown key TRAIN.BACTH_SIZE (did you mean TRAIN.BATCH_SIZE?)")
    assert lines[1] == "unknown key TRAIN.BACTH_SIZE (did you mean TRAIN.BATCH_SIZE?)"
    assert lines[2].startswith("TRAIN is a section: set its keys, such as TRAIN.")
    assert lines[3].startswith("unknown key MODEL.DEPTH")
    assert lines[4].startswith("overrides are pairs KEY VALUE, got 3 arguments")


def test_a_copy_with_other_keys_is_frozen_and_checked_and_leaves_the_original(cfg: CfgNode):
    cfg.freeze()
    changed = with_keys(cfg, [("SOLVER.MAX_EPOCH", 3), ("SOLVER.BASE_LR", 1)])
    assert (changed.SOLVER.MAX_EPOCH, changed.SOLVER.BASE_LR, cfg.SOLVER.MAX_EPOCH) == (3, 1.0, 10)
    with pytest.raises(AttributeError, match="immutable"):
        changed.TASK = "gdt"
    with pytest.raises(UsageError, match=r"^checkpoint: unknown key SOLVER\.MAX_EPOCHS"):
        with_keys(cfg, [("SOLVER.MAX_EPOCHS", 3)], source="checkpoint: ")
