from pathlib import Path

import pytest
from iopath.common.file_io import PathHandler, g_pathmgr
from made_media import SAMPLE_DATA

from stica_pv.data.sources import sources
from stica_pv.data.sources.sources import read_class_folders, read_csv, read_folder
from stica_pv.data.sources.video_list import VideoList
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

UCF = SAMPLE_DATA / "ucf6-av"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "b class/two.MP4",
        "b class/deep/three.webm",
        "a/one one.avi",
        "a/notes.txt",
        "a/.hidden.mp4",
        "x.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def write(root: Path, text: str) -> str:
    (root / "list.csv").write_text(text)
    return str(root / "list.csv")


def test_the_registry_has_the_three_sources():
    assert {"csv", "class_folders", "folder"} <= set(SOURCES.names())
    assert SOURCES.get("csv") is sources.read_csv


def test_csv_reads_paths_with_spaces_and_labels(root):
    found = read_csv(path=write(root, "a/one one.avi 2\n\nb class/two.MP4 0\n"), prefix="", separator=" ")
    assert found.paths == (str(root / "a/one one.avi"), str(root / "b class/two.MP4"))
    assert found.labels == (2, 0)
    assert found.class_names == ("0", "1", "2")
    assert found.names == ("a/one one.avi", "b class/two.MP4")
    assert found.root == str(root)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_csv_takes_another_separator(root, separator):
    assert read_csv(path=write(root, f"a/one one.avi{separator}1\n"), prefix="", separator=separator).labels == (1,)


def test_csv_without_labels(root):
    found = read_csv(path=write(root, "a/one one.avi\nb class/two.MP4\n"))
    assert found.labels is None
    assert found.names == ("a/one one.avi", "b class/two.MP4")


def test_csv_paths_follow_the_prefix_and_absolute_ones_stay(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists")
    path = write(elsewhere, f"two.MP4 0\n{root}/x.wav 1\n")
    found = read_csv(path=path, prefix=str(root / "b class"))
    assert found.paths == (str(root / "b class/two.MP4"), str(root / "x.wav"))


def test_class_folders_label_by_sorted_name(root):
    found = read_class_folders(path=str(root))
    assert found.class_names == ("a", "b class")
    assert found.names == ("a/one one.avi", "b class/two.MP4", "b class/deep/three.webm")
    assert found.labels == (0, 1, 1)


def test_folder_finds_all_media_below_it(root):
    found = read_folder(path=str(root))
    assert sorted(found.names) == ["a/one one.avi", "b class/deep/three.webm", "b class/two.MP4", "x.wav"]
    assert found.labels is None


def test_list_hash_depends_on_names_and_labels_and_not_on_the_root(root):
    lists = [VideoList((f"{top}/a.mp4", f"{top}/b.mp4"), labels, ("0", "1"), top)
             for top, labels in (("/x", (0, 1)), ("/y", (0, 1)), ("/x", (1, 0)), ("/x", None))]  # fmt: skip
    hashes = [item.list_hash for item in lists]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("reader", [read_csv, read_class_folders, read_folder])
def test_unset_and_missing_paths_name_the_setting(reader, tmp_path):
    with pytest.raises(UsageError, match="DATA.PATH_TO_DATA_DIR is not set"):
        reader(path="")
    with pytest.raises(UsageError, match="there is no .*nothing here"):
        reader(path=str(tmp_path / "nothing here"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("x.wav 0\na/one one.avi zero\n", r"line 2: expected 'path label'.*one one.avi zero"),
        ("x.wav -1\n", "line 1"),
        ("7\n", "line 1"),
        ("x.wav,0\n", "PATH_LABEL_SEPARATOR"),
        ("x.wav 0\nx.wav\n", "line 2: either all lines have a label or none"),
        (
            "x.wav 0\ng1.mp4 0\ng2.mp4 0\ng3.mp4 1\ng4.mp4 1\n",
            r"4 of 5 videos .* g1.mp4, g2.mp4, g3.mp4; .*PATH_PREFIX",
        ),
    ],
)
def test_bad_lists_say_what_is_wrong_with_them(root, text, message):
    with pytest.raises(UsageError, match=message):
        read_csv(path=write(root, text))


def test_a_folder_given_as_csv_is_refused(root):
    with pytest.raises(UsageError, match="is a folder, the csv source needs a file"):
        read_csv(path=str(root))


@pytest.mark.parametrize("reader", [read_class_folders, read_folder])
def test_a_file_given_as_folder_is_refused(reader, root):
    with pytest.raises(UsageError, match="is a file, expected a folder"):
        reader(path=str(root / "x.wav"))


def test_empty_folders_name_what_was_searched(tmp_path):
    with pytest.raises(UsageError, match=r"no media files in .*; there are no other files"):
        read_folder(path=str(tmp_path))
    with pytest.raises(UsageError, match="no class folders; the source 'folder'"):
        read_class_folders(path=str(tmp_path))
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match=r"no media files in .*; there are no other files"):
        read_class_folders(path=str(tmp_path))


def test_uris_go_through_iopath(root):
    class Handler(PathHandler):
        def _get_supported_prefixes(self):
            return ["kept://"]

        def _local(self, path):
            return str(root / path.removeprefix("kept://"))

        def _get_local_path(self, path, force=False, **kwargs):
            return self._local(path)

        def _open(self, path, mode="r", buffering=-1, **kwargs):
            return open(self._local(path), mode)  # noqa: SIM115 - the caller closes it

        def _isdir(self, path, **kwargs):
            return Path(self._local(path)).is_dir()

        def _isfile(self, path, **kwargs):
            return Path(self._local(path)).is_file()

        def _ls(self, path, **kwargs):
            return [entry.name for entry in Path(self._local(path)).iterdir()]

    g_pathmgr.register_handler(Handler(), allow_override=True)
    write(root, "a/one one.avi 0\n")
    found = read_csv(path="kept://list.csv")
    assert found.paths == ("kept://a/one one.avi",)
    assert found.names == ("a/one one.avi",)
    assert set(read_folder(path="kept://b class").names) == {"two.MP4", "deep/three.webm"}


@pytest.mark.skipif(not UCF.is_dir(), reason=f"no real sample data at {UCF}")
def test_the_official_split_is_read():
    found = read_csv(path=str(UCF / "train.csv"), prefix="", separator=" ")
    assert len(found) == 580
    assert set(found.labels or ()) == set(range(6))


def test_names_in_folders_by_turns_are_found_and_those_that_are_missing_named(tmp_path: Path):
    names = ["b/1.mp4", "1.mp4", "a/1.mp4", "b/2.mp4", "a/2.mp4", "3.mp4", "a/b/1.mp4", "b/1.mp4"]
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    for name in names:
        (tmp_path / name).touch()
    for gone in ("b/2.mp4", "3.mp4"):
        (tmp_path / gone).unlink()
    (tmp_path / "l.csv").write_text("".join(f"  {name}  {i} \n\n" for i, name in enumerate(names)))
    listed = read_csv(path=str(tmp_path / "l.csv"), max_absent_share=0.5)
    assert list(listed.absent) == ["b/2.mp4", "3.mp4"]
    assert list(listed.names) == [name for name in names if name not in ("b/2.mp4", "3.mp4")]
    assert listed.labels == (0, 1, 2, 4, 6, 7)


def test_files_of_the_working_folder_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "1.mp4").touch()
    monkeypatch.chdir(tmp_path)
    assert sources._missing(["1.mp4", "2.mp4", "memory://3.mp4"]) == [1]


@pytest.mark.parametrize("text", ["a/one one.avi 1\n", "a/one one.avi\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(root, text):
    (root / "list.csv").write_text(text, encoding="utf-8-sig")
    assert read_csv(path=str(root / "list.csv")).names == ("a/one one.avi",)


@pytest.mark.parametrize("coding", ["UTF-16", "UTF-32"])
def test_a_list_in_another_coding_is_named(root, coding):
    (root / "list.csv").write_text("a/one one.avi 1\n", encoding=coding)
    with pytest.raises(UsageError, match=f"list.csv is in {coding}, expected UTF-8; save it as UTF-8"):
        read_csv(path=str(root / "list.csv"))


@pytest.mark.parametrize("label", ["1700000000", "100000", "9" * 5000])
def test_a_label_that_is_no_class_is_named_with_its_line(root, label):
    with pytest.raises(UsageError, match="line 2: expected a label of at most 99999"):
        read_csv(path=write(root, f"x.wav 1\nb class/two.MP4 {label}\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x.wav 0 3", "'0' was taken as part of the name 'x.wav 0': write lines 'path label', two columns"),
        ('"x.wav" 3', 'the quotes were taken as part of the name "x.wav": remove them'),
        ("'x.wav' 3", "the quotes were taken as part of the name 'x.wav': remove them"),
    ],
)
def test_quotes_and_a_third_column_are_named(root, line, message):
    with pytest.raises(UsageError, match=message):
        read_csv(path=write(root, f"{line}\n"))
