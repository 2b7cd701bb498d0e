import os
import runpy
import shlex
import shutil
import tarfile
from pathlib import Path

import pytest
import torch
from made_media import make_media

from stica_pv.data.conversion.shards import write_shards
from stica_pv.data.decoding.reader import read
from stica_pv.data.manifest.manifest import probe
from stica_pv.data.manifest.videos import list_from_config
from stica_pv.data.sources.sources import read_csv, read_folder
from stica_pv.data.sources.video_list import VideoList
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure
from stica_pv.structures import ClipRequest, Window

REPOSITORY = Path(__file__).resolve().parents[3]

NAMES = ("b class/one.mp4", f"{'long ' * 30}/two.avi", "three.mkv")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoList:
    root = tmp_path_factory.mktemp("files")
    for name in NAMES:
        (root / name).parent.mkdir(exist_ok=True)
        make_media(root / name)
    return VideoList([str(root / name) for name in NAMES], (2, 0, 1), ("a", "b", "c"), str(root))


@pytest.fixture
def shards(videos: VideoList, tmp_path: Path) -> Path:
    assert list(write_shards(videos, tmp_path / "shards", name="train", shard_bytes=1)) == [1, 2, 3]
    return tmp_path / "shards"


def test_a_list_of_shards_has_the_same_order_names_and_labels(videos: VideoList, shards: Path):
    found = read_csv(path=str(shards), split="train")
    assert [path.rpartition("::")[2] for path in found.paths] == list(NAMES)
    assert found.labels == videos.labels
    assert sorted(path.name for path in shards.iterdir()) == [*(f"train-00000{k}.tar" for k in range(3)), "train.csv"]


def test_clips_and_facts_of_a_member_are_those_of_its_file(videos: VideoList, shards: Path):
    requests = {"late": ClipRequest(Window(0.4, 0.5), 5, 10.0, 8000), "start": ClipRequest(Window(0.0, 0.3), 3, 10.0)}
    for member, path in zip(read_csv(path=str(shards), split="train").paths, videos.paths, strict=True):
        clips, expected = read(member, requests), read(path, requests)
        for name, clip in clips.items():
            assert torch.equal(clip.frames, expected[name].frames)  # exact: integers
            assert torch.equal(clip.audio, expected[name].audio)  # exact: the same code with the same shapes, twice
        inside, outside = probe(member), probe(path)
        facts = {key: value for key, value in vars(outside).items() if key not in ("path", "mtime_ns")}
        assert facts == {key: value for key, value in vars(inside).items() if key in facts}
        assert inside.error == ""


def test_files_share_a_shard_until_it_is_full(videos: VideoList, tmp_path: Path):
    size = sum(Path(path).stat().st_size for path in videos.paths[:2])
    assert list(write_shards(videos, tmp_path, name="x", shard_bytes=size)) == [2, 3]
    assert list(write_shards(videos, tmp_path, name="y", shard_bytes=10**9)) == [3]
    with tarfile.open(tmp_path / "y-000000.tar") as tar:
        assert tar.getnames()[::2] == list(NAMES)
        assert tar.getnames()[1::2] == [f"{name.rpartition('.')[0]}.cls" for name in NAMES]
        assert [tar.extractfile(name).read() for name in tar.getnames()[1::2]] == [b"2", b"0", b"1"]


def test_lists_without_labels_stay_without(videos: VideoList, tmp_path: Path):
    listed = read_folder(path=videos.root)
    list(write_shards(listed, tmp_path, name="all", shard_bytes=10**9))
    found = read_csv(path=str(tmp_path / "all.csv"))
    assert found.labels is None
    assert [path.rpartition("::")[2] for path in found.paths] == list(listed.names)


def test_a_shard_that_is_missing_or_cut_short_is_reported(shards: Path):
    last = read_csv(path=str(shards), split="train").paths[2]
    path = shards / "train-000002.tar"
    path.write_bytes(path.read_bytes()[:2000])
    assert probe(last).error == "the shard ends at 2000 bytes, before this file does"
    path.unlink()
    with pytest.raises(UsageError, match=r"1 of 3 videos .* are missing .*train-000002.tar::512"):
        read_csv(path=str(shards), split="train")


def test_what_cannot_be_packed_is_refused(videos: VideoList, shards: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="train.csv already exists"):
        list(write_shards(videos, shards, name="train", shard_bytes=1))
    twice = VideoList([videos.paths[0]] * 2, None, (), videos.root)
    with pytest.raises(UsageError, match="names 1 files twice"):
        list(write_shards(twice, tmp_path / "a", name="train", shard_bytes=1))
    gone = VideoList([f"{videos.root}/gone.mp4"], None, (), videos.root)
    with pytest.raises(UsageError, match=r"cannot copy .*gone.mp4 into train-000000.tar: No such file"):
        list(write_shards(gone, tmp_path / "b", name="train", shard_bytes=1))
    assert not list((tmp_path / "b").glob("*.tar"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write train.csv and its shards to .*file/below: Not a directory"):
        list(write_shards(videos, tmp_path / "file" / "below", name="train", shard_bytes=1))


def test_names_that_are_not_utf8_come_back(videos: VideoList, tmp_path: Path):
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / "in").mkdir()
    shutil.copy(videos.paths[0], tmp_path / "in" / name)
    listed = read_folder(path=str(tmp_path / "in"))
    list(write_shards(listed, tmp_path / "out", name="all", shard_bytes=10**9))
    (member,) = read_csv(path=str(tmp_path / "out" / "all.csv")).paths
    assert member.endswith(f"::{name}")
    assert probe(member).error == ""
    (tmp_path / "in" / "train.csv").write_bytes(b"caf\xe9.mp4 0\n")
    assert read_csv(path=str(tmp_path / "in" / "train.csv")).paths == listed.paths


def test_the_printed_words_open_the_shards(videos: VideoList, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "train.csv").write_text("".join(f"{name},1\n" for name in NAMES))
    cfg = "projects/stica/demo.yaml"
    arguments = ["TRAIN.DATASET", "csv", "DATA.PATH_PREFIX", videos.root, "DATA.PATH_LABEL_SEPARATOR", ","]
    arguments += ["DATA.PATH_TO_DATA_DIR", str(tmp_path)]
    tool = runpy.run_path(str(REPOSITORY / "tools" / "make_shards.py"))
    assert tool["main"](["--cfg", cfg, "--target", str(tmp_path / "out"), *arguments]) == 0
    printed = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("train with "))
    again = configure(cfg, [*arguments, *printed])
    found = list_from_config(again, dataset=again.TRAIN.DATASET, split="train")
    assert [path.rpartition("::")[2] for path in found.paths] == list(NAMES)


def test_webdataset_reads_the_shards(videos: VideoList, tmp_path: Path):
    webdataset = pytest.importorskip("webdataset")
    flat = VideoList(videos.paths[2:], (1,), ("a", "b"), videos.root)
    list(write_shards(flat, tmp_path, name="train", shard_bytes=10**9))
    (sample,) = webdataset.WebDataset(str(tmp_path / "train-000000.tar"), shardshuffle=False)
    assert sample["__key__"] == "three"
    assert sample["cls"] == b"1"
    assert sample["mkv"] == Path(videos.paths[2]).read_bytes()
