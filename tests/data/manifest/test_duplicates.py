from pathlib import Path

from stica_pv.data.decoding.tar_entry import TarEntry
from stica_pv.data.manifest.duplicates import content_digest, find_duplicates


def test_only_files_of_one_size_are_read_and_the_first_of_a_content_is_the_original():
    content = {"a": "x", "b": "y", "c": "x", "d": "x", "e": "x", "f": "", "g": ""}
    read = []

    def digest(path: str) -> str:
        read.append(path)
        return content[path]

    sizes = {"a": 5, "b": 5, "c": 5, "d": 5, "e": 6, "f": 7, "g": 7}  # e is alone; f and g cannot be read
    assert find_duplicates(list(sizes), list(sizes.values()), digest) == {2: 0, 3: 0}
    assert read == ["a", "b", "c", "d", "f", "g"]


def test_files_that_were_not_found_are_no_copies_of_each_other():
    assert find_duplicates(["a", "b"], [0, 0], lambda path: "x") == {}


def test_content_alone_counts_in_files_and_in_members_of_shards(tmp_path: Path):
    whole = bytes(range(256)) * 5000  # more than is read at once
    (tmp_path / "a").write_bytes(whole)
    (tmp_path / "b").write_bytes(whole[:-1] + b"!")
    (tmp_path / "s.tar").write_bytes(b"head" + whole + b"tail")
    member = str(TarEntry(str(tmp_path / "s.tar"), 4, len(whole), "c"))
    paths = [str(tmp_path / "a"), str(tmp_path / "b"), member, str(tmp_path / "absent")]
    assert find_duplicates(paths, [len(whole)] * 4) == {2: 0}
    assert content_digest(str(tmp_path / "absent")) == ""
