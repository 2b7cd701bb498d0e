import json
from pathlib import Path

import pytest
from small_sets import labeled_names, read, write

from stica_pv.errors import UsageError

LABELS = {"Pushing something": "0", "Putting something on something": "1"}
TRAIN = [
    {"id": "7", "label": "putting a cup on a table", "template": "Putting [something] on [something]"},
    {"id": "8", "label": "pushing a cup", "template": "Pushing [something]", "placeholders": ["a cup"]},
]


def small_set(root: Path, **changed: object) -> Path:
    contents = {"labels": LABELS, "train": TRAIN, "validation": TRAIN[1:], "test": [{"id": "9"}], **changed}
    lists = {f"something-something-v2-{name}.json": json.dumps(content) for name, content in contents.items()}
    return write(root, lists, [f"20bn-something-something-v2/{number}.webm" for number in (7, 8, 9)])


def test_brackets_are_taken_from_the_template_to_find_the_class(tmp_path: Path):
    root = small_set(tmp_path)
    assert labeled_names(read("ssv2", root, "train")) == {
        "20bn-something-something-v2/7.webm": "Putting something on something",
        "20bn-something-something-v2/8.webm": "Pushing something",
    }
    assert read("ssv2", root, "train").labels == (1, 0)
    assert read("ssv2", root, "val").labels == (0,)
    assert read("ssv2", root, "test").labels is None


def test_the_newer_names_of_the_lists_are_known(tmp_path: Path):
    lists = {"labels/train.json": json.dumps(TRAIN), "labels/labels.json": json.dumps(LABELS)}
    root = write(tmp_path, lists, ["7.webm", "8.webm"])
    assert read("ssv2", root, "train").labels == (1, 0)


def test_ten_classes_and_more_keep_the_order_of_their_numbers(tmp_path: Path):
    labels = {f"class {number}": str(number) for number in reversed(range(12))}
    train = [{"id": 7, "template": "class 11"}, {"id": 8, "template": "class 2"}]
    found = read("ssv2", small_set(tmp_path, labels=labels, train=train), "train")
    assert found.labels == (11, 2)
    assert found.class_names == tuple(f"class {number}" for number in range(12))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": {"id": "7"}}, "expected a list of objects with an 'id'"),
        ({"train": []}, "expected a list of objects with an 'id'"),
        ({"train": [{"id": "7", "label": "x"}]}, "video 7 has no 'template'"),
        (
            {"train": [{"id": "7", "template": "Eating [something]"}]},
            "7: the class 'Eating something' is not among",
        ),
        ({"labels": {"a": "0", "b": "2"}}, "expected an object from class names to the numbers 0, 1, 2"),
        ({"labels": {"a": "0", "b": "x"}}, "expected an object from class names to the numbers 0, 1, 2"),
    ],
)
def test_a_wrong_list_says_what_was_expected(tmp_path: Path, changed: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        read("ssv2", small_set(tmp_path, **changed), "train")


def test_a_list_that_is_no_json_is_reported(tmp_path: Path):
    root = small_set(tmp_path)
    (root / "something-something-v2-train.json").write_text("[{")
    with pytest.raises(UsageError, match="train.json: not valid JSON"):
        read("ssv2", root, "train")
