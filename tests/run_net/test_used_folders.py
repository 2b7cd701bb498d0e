"""What a command finds in a used folder, and leaves there when it cannot go on."""

from pathlib import Path

import pytest
from saying import Say, assert_refused
from tiny_runs import arguments, tree


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04" + bytes(99)], ids=repr)
def test_a_corrupt_checkpoint_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path, content: bytes):
    (tmp_path / "bad.pyth").write_bytes(content)
    for key in ("TRAIN__CHECKPOINT_FILE_PATH", "TEST__CHECKPOINT_FILE_PATH"):
        given = {key: tmp_path / "bad.pyth", "TRAIN__ENABLE": key.startswith("TRAIN"), "TEST__ENABLE": True}
        answer = say("--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", **given))
        assert_refused(answer, "bad.pyth", "cannot be read")
        assert not (tmp_path / "run").exists()


def test_corrupt_checkpoints_of_a_run_are_refused_and_its_numbers_kept(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=2)]
    assert say(*command)[0] == 0
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(b"rubbish")
    before = {name: content for name, content in tree(tmp_path / "run").items() if name != "stdout.log"}
    assert_refused(say(*command), "all 1 checkpoints", "move them away")
    assert before.items() <= tree(tmp_path / "run").items()


def test_another_run_in_a_used_folder_is_refused_and_nothing_is_touched(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1)]
    assert say(*command)[0] == 0
    (log := tmp_path / "run" / "stdout.log").unlink()
    before = tree(tmp_path / "run")
    assert_refused(say(*command, "RNG_SEED", 3), "holds another run", "RNG_SEED 0 -> 3")
    log.unlink()  # it says who tried
    assert tree(tmp_path / "run") == before


def test_a_diverging_run_fails_with_code_1_and_one_line(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    diverging = arguments(CONTRASTIVE__TEMPERATURE=1e-38)
    code, _, err = say("--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run"), *diverging)
    assert code == 1
    assert err.startswith("failed: ")
    assert "not finite" in err
    assert err.count("\n") == 1
