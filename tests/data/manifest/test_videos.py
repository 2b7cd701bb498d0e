import hashlib
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_clips import make_clip
from tiny_runs import tiny_cfg

from stica_pv.data.manifest.videos import Videos, list_from_config, open_videos
from stica_pv.errors import UsageError


def listed(data: Path, dataset: str = "csv", split: str = "train", **overrides: Any) -> Sequence[str]:
    return list_from_config(tiny_cfg(data, Path("out"), **overrides), dataset=dataset, split=split).names


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good clips, a short one, one without audio, and one that is none; with labels."""
    folder = tmp_path_factory.mktemp("mixed")
    for number, (name, seconds, audio) in enumerate(
        (("good0", 1.0, True), ("good1", 1.0, True), ("short", 0.25, True), ("mute", 1.0, False))
    ):
        make_clip(folder / f"{name}.mp4", number, seconds=seconds, audio=audio)
    (folder / "text.mp4").write_text("no film")
    names = ("text", "good1", "short", "mute", "good0")
    (folder / "train.csv").write_text("".join(f"{name}.mp4 {label}\n" for label, name in enumerate(names)))
    return folder


def opened(folder: Path, manifest: Path, min_seconds: float = 0.5, *, needs_audio: bool = True) -> Videos:
    videos = list_from_config(tiny_cfg(folder, Path("out")), dataset="csv", split="train")
    return open_videos(videos, manifest=manifest, min_seconds=min_seconds, needs_audio=needs_audio)


def test_files_that_fit_are_kept_in_order_with_their_labels_and_lengths(mixed_folder: Path, tmp_path: Path):
    videos = opened(mixed_folder, tmp_path / "m.csv")
    assert [Path(path).name for path in videos.paths] == ["good1.mp4", "good0.mp4"]
    assert videos.labels is not None
    assert list(videos.labels) == [1, 4]
    assert list(videos.durations_s) == pytest.approx([1.0, 1.0], abs=0.1)


def test_every_other_file_is_named_with_its_cause(mixed_folder: Path, tmp_path: Path):
    causes = {Path(f.path).stem: f.cause for f in opened(mixed_folder, tmp_path / "m.csv").excluded}
    assert causes.keys() == {"text", "short", "mute"}
    assert causes["text"].startswith("cannot be opened: ")
    assert causes["short"].endswith("the recipe needs 0.50 s")
    assert causes["mute"] == "no audio stream"


def test_what_is_kept_depends_on_the_recipe_and_not_on_the_manifest(mixed_folder: Path, tmp_path: Path):
    manifest = tmp_path / "m.csv"
    opened(mixed_folder, manifest, min_seconds=0.9)
    before = manifest.read_bytes()
    assert len(opened(mixed_folder, manifest, min_seconds=0.0, needs_audio=False).paths) == 4
    assert manifest.read_bytes() == before


def test_the_hash_is_of_names_and_labels_of_the_usable_files(mixed_folder: Path, tmp_path: Path):
    moved = tmp_path / "moved"
    shutil.copytree(mixed_folder, moved)
    first, second = (opened(folder, tmp_path / "m.csv") for folder in (mixed_folder, moved))
    assert first.list_hash == second.list_hash
    assert opened(moved, tmp_path / "m.csv", needs_audio=False).list_hash != first.list_hash
    (moved / "train.csv").write_text((moved / "train.csv").read_text().replace("good1.mp4 1", "good1.mp4 2"))
    assert opened(moved, tmp_path / "m.csv").list_hash != first.list_hash


def test_the_hash_is_that_of_runs_made_before(mixed_folder: Path, tmp_path: Path):
    expected = hashlib.sha256(b"(['good1.mp4', 'good0.mp4'], (1, 4))").hexdigest()[:16]
    assert opened(mixed_folder, tmp_path / "m.csv").list_hash == expected


def test_silent_files_are_counted_where_they_are_used(mixed_folder: Path, tmp_path: Path):
    assert opened(mixed_folder, tmp_path / "m.csv").silent == 0
    assert opened(mixed_folder, tmp_path / "m.csv", needs_audio=False).silent == 1


def test_a_worker_is_sent_little_more_than_the_text_of_the_paths(mixed_folder: Path, tmp_path: Path):
    videos = opened(mixed_folder, tmp_path / "m.csv")
    text = sum(len(path) for path in videos.paths)
    assert len(pickle.dumps((videos.paths, videos.durations_s, videos.labels))) < text + 24 * len(videos.paths) + 500


def test_when_nothing_fits_the_causes_are_counted(mixed_folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"none of the 5 files in .*: video is shorter than 30\.00 s \(4\), cannot"):
        opened(mixed_folder, tmp_path / "m.csv", min_seconds=30.0)


def test_a_folder_stands_for_the_csv_of_the_split(clips_folder: Path):
    assert len(listed(clips_folder)) == 12
    assert len(listed(clips_folder, split="test")) == 6
    assert listed(clips_folder / "test.csv") == listed(clips_folder, split="test")


def test_a_folder_of_clips_needs_no_list(clips_folder: Path):
    assert len(listed(clips_folder, "folder")) == 18


def test_the_prefix_moves_the_videos_of_a_list(clips_folder: Path, tmp_path: Path):
    shutil.copy(clips_folder / "test.csv", tmp_path)
    assert len(listed(tmp_path, split="test", DATA__PATH_PREFIX=clips_folder)) == 6
    with pytest.raises(UsageError, match="6 of 6 videos"):
        listed(tmp_path, split="test")


def class_folders(root: Path, *splits: str) -> Path:
    for split in splits:
        for name in ("dance", "run"):
            (root / split / name).mkdir(parents=True)
            (root / split / name / f"{split}-{name}.mp4").touch()
    return root


def test_class_folders_are_those_of_the_split(tmp_path: Path):
    root = class_folders(tmp_path, "train", "val")
    assert listed(root, "class_folders", "val") == ("dance/val-dance.mp4", "run/val-run.mp4")


def test_class_folders_without_splits_are_taken_as_they_are(tmp_path: Path):
    root = class_folders(tmp_path, "")
    assert listed(root, "class_folders") == ("dance/-dance.mp4", "run/-run.mp4")


def test_folders_of_splits_are_never_taken_for_classes(tmp_path: Path):
    root = class_folders(tmp_path, "train", "val")
    with pytest.raises(UsageError, match="holds train, val but no 'test': set TRAIN.SPLIT and TEST.SPLIT"):
        listed(root, "class_folders", "test")


@pytest.mark.parametrize(("data", "message"), [("", "PATH_TO_DATA_DIR is not set"), ("absent", "there is no list")])
def test_missing_data_is_a_usage_error(data: str, message: str):
    cfg = tiny_cfg(Path("x"), Path("out")).clone()
    cfg.defrost()
    cfg.DATA.PATH_TO_DATA_DIR = data
    with pytest.raises(UsageError, match=message):
        list_from_config(cfg, dataset="csv", split="train")


def test_an_unknown_source_names_the_known_ones(tmp_path: Path):
    with pytest.raises(UsageError, match="class_folders, csv"):
        listed(tmp_path, "cvs")
