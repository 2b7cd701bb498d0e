from collections import Counter
from pathlib import Path

import pytest
from made_media import SAMPLE_DATA
from small_sets import labeled_names, listing, official, read, write

from stica_pv.data.sources.official.grid import CATEGORIES, split_of
from stica_pv.errors import UsageError

HEADING = "file,command,color,preposition,letter,digit,adverb,split\n"
ROWS = "bbaf2n.mp4,bin,blue,at,f,two,now,train\nswwzzs.mp4,set,white,with,z,zero,soon,test\n"
MEDIA = ("bbaf2n.mp4", "s1/swwzzs.mpg")
SPELLED = {
    "command": ("bin", "set"),
    "color": ("blue", "white"),
    "preposition": ("at", "with"),
    "letter": ("f", "z"),
    "digit": ("two", "zero"),
    "adverb": ("now", "soon"),
}


@pytest.mark.parametrize("category", list(CATEGORIES))
def test_names_spell_the_classes_and_the_list_gives_the_split(tmp_path: Path, category: str):
    root = write(tmp_path, {"clips.csv": HEADING + ROWS}, MEDIA)
    first, second = SPELLED[category]
    assert labeled_names(read(f"grid_{category}", root, "train")) == {"bbaf2n.mp4": first}
    assert labeled_names(read(f"grid_{category}", root, "test")) == {"s1/swwzzs.mpg": second}


def test_labels_of_digits_are_the_digits(tmp_path: Path):
    names = [f"bbaf{code}n.mp4" for code in "z123456789"]
    root = write(tmp_path, {"clips.csv": "file,split\n" + "".join(f"{name},train\n" for name in names)}, names)
    found = read("grid_digit", root, "train")
    labels = dict(zip(found.names, found.labels or (), strict=True))
    assert labels == {name: label for label, name in enumerate(names)}


def test_without_a_list_the_sentence_alone_gives_the_split(tmp_path: Path):
    names = [f"{c}{k}a{x}{d}n" for c in "blps" for k in "bgrw" for x in "abcdefgh" for d in "z123"]
    root = write(tmp_path / "all", {}, [f"s1/{name}.mpg" for name in names])
    train, test = (read("grid_color", root, split) for split in ("train", "test"))
    assert len(train) + len(test) == len(names)
    assert not set(train.names) & set(test.names)
    assert 0.15 < len(test) / len(names) < 0.25
    assert [split_of(name) for name in ("bbaf2n", "bbaf3s", "bbaf4p", "swwzzs")] == ["test", "train", "train", "train"]
    few = write(tmp_path / "few", {}, [f"other/{name}.mp4" for name in names[:40]])
    kept = {name.rpartition("/")[2].removesuffix(".mp4") for name in read("grid_color", few, "test").names}
    assert kept == {name for name in names[:40] if split_of(name) == "test"}


def test_a_sentence_of_two_speakers_is_found_in_the_folder_of_each(tmp_path: Path):
    media = ["s1/bbaf2n.mpg", "s2/bbaf2n.mpg"]
    root = write(tmp_path, {}, media)
    assert list(read("grid_digit", root, split_of("bbaf2n")).names) == media


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("bbaf2.mp4,train\n", "clips.csv: bbaf2.mp4: expected a name like bbaf2n"),
        (
            "bbaw2n.mp4,train\n",
            "bbaw2n.mp4: expected a name like bbaf2n, one letter or digit for each of command, color",
        ),
        ("bbaf2n.mp4,val\n", "bbaf2n.mp4: expected the split train or test, got 'val'"),
    ],
)
def test_a_wrong_list_says_what_was_expected(tmp_path: Path, row: str, message: str):
    root = write(tmp_path, {"clips.csv": f"file,split\n{row}"}, ["bbaf2n.mp4"])
    with pytest.raises(UsageError, match=message):
        read("grid_digit", root, "train")


def test_other_names_without_a_list_and_missing_files_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"hello.mp4: expected a name like bbaf2n"):
        read("grid_digit", write(tmp_path / "a", {}, ["hello.mp4"]), "train")
    with pytest.raises(UsageError, match=r"1 of 1|bbaf2n"):
        read("grid_digit", write(tmp_path / "b", {"clips.csv": HEADING + ROWS}, MEDIA[1:]), "train")


@pytest.mark.parametrize("category", list(CATEGORIES))
def test_the_real_folder_agrees_with_its_own_list(category: str):
    root = SAMPLE_DATA / "grid-av"
    if not root.is_dir():
        pytest.skip(f"no real sample data at {root}")
    lines = [line.split(",") for line in (root / "clips.csv").read_text().splitlines()[1:]]
    for split, count in (("train", 800), ("test", 200)):
        found = labeled_names(read(f"grid_{category}", root, split))
        column = 1 + list(CATEGORIES).index(category)
        assert found == {line[0]: line[column] for line in lines if line[7] == split}
        assert len(found) == count
    assert len(listing(f"grid_{category}", root, "test").class_names) == len(CATEGORIES[category])
    assert Counter(official(f"grid_{category}").splits) == Counter(("train", "test"))
