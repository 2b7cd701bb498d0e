import importlib.util
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny_clips import make_clip
from tiny_runs import REPOSITORY, arguments, metric, run_tiny, tiny_cfg, write_tiny

from stica_pv.data.manifest.videos import list_from_config, open_videos
from stica_pv.engine.loaders import create_sampler

TOOL = REPOSITORY / "tools" / "check_dataset.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_dataset_of_the_tests", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mixed(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips, of which one is short and three have no audio."""
    folder = tmp_path_factory.mktemp("mixed") / "clips"
    shutil.copytree(clips_folder, folder)
    for number in (1, 4, 6):
        make_clip(folder / f"clip{number:02}.mp4", number, audio=False)
    make_clip(folder / "clip03.mp4", 3, seconds=0.25)
    return folder


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    log = logging.getLogger("stica_pv")
    level, propagate = log.level, log.propagate
    log.propagate = True
    handlers = logging.getLogger().handlers[:]
    logging.getLogger().handlers.clear()

    def say(data: Path, *more: str, page: bool = False, **overrides: Any) -> tuple[int, str, str]:
        logging.getLogger().handlers.clear()
        capsys.readouterr()
        cfg = str(write_tiny(tmp_path / "tiny.yaml"))
        more = more if page else ("--no-page", *more)
        code = tool.main(["--cfg", cfg, *arguments(data, tmp_path / "run", **overrides), *more])
        return (code, *capsys.readouterr())

    yield say
    logging.getLogger().handlers[:] = handlers
    log.setLevel(level)
    log.propagate = propagate


def test_a_list_that_training_accepts_ends_with_0_and_every_exclusion_by_name(say: Say, mixed: Path, tmp_path: Path):
    code, out, err = say(mixed)
    assert (code, err) == (0, "")
    assert "12 files, " in out
    assert "8 of 12 files can be used by this recipe, 4 are excluded" in out
    assert "3: no audio stream\n    " + "\n    ".join(str(mixed / f"clip{n:02}.mp4") for n in (1, 4, 6)) in out
    assert f"1: video is shorter than 0.50 s\n    {mixed / 'clip03.mp4'} (video lasts 0.25 s" in out
    assert "48 x 36        12 ######" in out
    assert "16000         9 ######" in out
    assert "one epoch: 2 steps of 4 videos" in out
    assert len((tmp_path / "run" / "manifest.csv").read_text().splitlines()) == 13
    assert "reading the headers" not in say(mixed)[1]


def test_page_and_numbers_are_written_for_a_list_that_is_refused_too(say: Say, mixed: Path, tmp_path: Path):
    shutil.copy(mixed / "clip00.mp4", mixed / "clip02.mp4")
    code, out, err = say(mixed, page=True, TRAIN__BATCH_SIZE=9)
    page, numbers = tmp_path / "run" / "data_check.html", tmp_path / "run" / "data_check.csv"
    assert code == 2
    assert f"report: {page}, {numbers}, " in out
    assert "No: TRAIN.BATCH_SIZE 9 is larger than the 8 usable videos" in page.read_text()
    assert "left out,no audio stream,3,files" in numbers.read_text()
    assert "classes,0,4,files" in numbers.read_text()
    files = (tmp_path / "run" / "data_files.csv").read_text().splitlines()
    assert files[1] == "clip01.mp4,no audio stream,"
    assert files[-1] == "clip02.mp4,,clip00.mp4"
    assert "8 samples read: " in say(mixed)[1]


def test_names_are_as_many_as_asked_for(say: Say, mixed: Path):
    assert "clip01.mp4\n    and 2 more" in say(mixed, "--names", "1")[1]
    assert "more" not in say(mixed, "--names", "0")[1]


def test_silent_files_are_reported(say: Say, mixed: Path):
    assert (
        "3 of the 11 usable files have no audio; silence is used for them"
        in say(mixed, DATA__MISSING_AUDIO="silence")[1]
    )


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"TRAIN__BATCH_SIZE": 9}, "TRAIN.BATCH_SIZE 9 is larger than the 8 usable videos"),
        ({"DATA__TARGET_FPS": 0.1}, "none of the 12 files"),
        ({"DATA__GROUP_PATTERN": "("}, "DATA.GROUP_PATTERN '(' is no regular expression"),
        ({"DATA__GROUP_PATTERN": "(clip)"}, "8 videos of 1 sources cannot fill 2 batches of TRAIN.BATCH_SIZE 4"),
        ({"DATA__TARGETFPS": 1}, "did you mean DATA.TARGET_FPS?"),
        ({"TASK": "classification", "MODEL__NUM_CLASSES": 2}, "MODEL.NUM_CLASSES is 2, but the list has a label 2"),
    ],
)
def test_a_list_that_training_refuses_ends_with_2_and_the_reason(
    say: Say, mixed: Path, overrides: dict[str, Any], reason: str
):
    code, _, err = say(mixed, **overrides)
    assert code == 2
    assert err.startswith("error: ")
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("absent", "allowed"), [(1, 0.0), (1, 0.05), (12, 0.0), (12, 1.0)])
def test_files_that_are_not_there_are_named_in_the_file_and_the_share_is_that_of_the_configuration(
    say: Say, clips_folder: Path, tmp_path: Path, absent: int, allowed: float
):
    folder = shutil.copytree(clips_folder, tmp_path / "clips")
    for number in range(absent):
        (folder / f"clip{number:02}.mp4").unlink()
    code, out, err = say(folder, DATA__MAX_ABSENT_SHARE=allowed)
    assert code == 2
    assert err.startswith(f"error: {absent} of 12 videos of the train list are missing")
    assert err.count("\n") == 1
    assert ("now" in err) == (absent < 12)  # where no file is there, no share helps
    assert f"(now {allowed:g};" in err or absent == 12
    written = tmp_path / "run" / "absent_files.txt"
    assert written.read_text().splitlines() == [f"clip{number:02}.mp4" for number in range(absent)]
    assert f"names of the {absent} missing files saved to {written}" in out
    assert "missing files" in (tmp_path / "run" / "data_check.csv").read_text()


def test_a_folder_that_cannot_be_written_ends_with_2_and_one_line(say: Say, mixed: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    code, _, err = say(mixed, OUTPUT_DIR=tmp_path / "file")
    assert code == 2
    assert re.fullmatch(r"error: OUTPUT_DIR .*file cannot be written: .*\n", err)


@pytest.mark.slow
def test_missing_audio_is_dropped_or_taken_as_silence_and_reported_at_the_start(
    mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    for choice, videos, silent in (("drop", 8, 0), ("silence", 11, 3)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            run_tiny(mixed, tmp_path / choice, DATA__MISSING_AUDIO=choice, SOLVER__MAX_EPOCH=6)
        assert re.search(rf"{videos} videos \(\d+ excluded, {silent} without audio\)", caplog.text)
        shares = metric(tmp_path / choice, "audio_share")
        assert set(shares) <= {0.25, 0.5, 0.75, 1.0}
        assert (set(shares) == {1.0}) == (choice == "drop")
        assert all(abs(loss) < 100 for loss in metric(tmp_path / choice, "loss"))


def test_training_keeps_clips_of_a_source_apart(clips_folder: Path, tmp_path: Path):
    cfg = tiny_cfg(clips_folder, tmp_path, DATA__GROUP_PATTERN=r"(?P<source>\d)\.mp4", SOLVER__MAX_EPOCH=20)
    listed = list_from_config(cfg, dataset="csv", split="train")
    videos = open_videos(listed, manifest=tmp_path / "m.csv", min_seconds=0.5, needs_audio=True)
    batches = [[videos.paths[key.index] for key in batch] for batch in create_sampler(cfg, videos, 0)]
    assert len(batches) == 3 * 20
    for batch in batches:
        assert len({Path(path).stem[-1] for path in batch}) == 4
