"""Something-Something v2: JSON lists whose templates mark objects in brackets, and a JSON of class numbers."""

from typing import Any

from stica_pv.data.sources.official.list_files import find_list, label_in, read_json
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("labels", "annotations")
_SPLIT_NAMES = {"train": ("train",), "val": ("validation", "val"), "test": ("test",)}


def parse_something(folder: str, split: str) -> Listing:
    """Read a split; "Putting [something] on [something]" is the class "Putting something on something"."""
    names = [
        f"{begin}{split_name}.json" for begin in ("something-something-v2-", "") for split_name in _SPLIT_NAMES[split]
    ]
    path = find_list(folder, names, SUBFOLDERS)
    items = read_json(path)
    if not (isinstance(items, list) and items and all(isinstance(item, dict) and "id" in item for item in items)):
        raise UsageError(f"{path}: expected a list of objects with an 'id'")
    entries = [Entry((str(item["id"]),)) for item in items]
    if split == "test":  # published without classes
        return Listing(path, entries)
    label_of = _classes(find_list(folder, ["something-something-v2-labels.json", "labels.json"], SUBFOLDERS))
    labels = [label_in(label_of, _template(item, path), f"{path}, video {item['id']}") for item in items]
    return Listing(path, entries, tuple(label_of), labels)


def _template(item: dict[str, Any], path: str) -> str:
    if not isinstance(item.get("template"), str):
        raise UsageError(f"{path}: video {item['id']} has no 'template'")
    return str(item["template"]).replace("[", "").replace("]", "")


def _classes(path: str) -> dict[str, int]:
    """Return the label of each class, in the order of labels."""
    content = read_json(path)
    numbers = content.values() if isinstance(content, dict) else ()
    if not numbers or {str(number) for number in numbers} != {str(number) for number in range(len(numbers))}:
        raise UsageError(f"{path}: expected an object from class names to the numbers 0, 1, 2, …, each once")
    return {name: int(number) for name, number in sorted(content.items(), key=lambda item: int(item[1]))}


SOURCES.named("ssv2")(OfficialSet(parse_something, splits=("train", "val", "test"), folds={"val": ("train", "val")}))
