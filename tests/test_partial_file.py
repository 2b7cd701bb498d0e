from pathlib import Path

import pytest

from stica_pv.partial_file import partial_file


def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path: Path):
    path = tmp_path / "new" / "numbers.json"
    for content in ("first", "second"):
        before = path.read_text() if path.exists() else None
        with partial_file(path) as partial:
            partial.write_text(content)
            assert partial.name == "numbers.json.partial"
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_no_partial_one(tmp_path: Path, error: BaseException):
    path = tmp_path / "numbers.json"
    path.write_text("old")

    def write_half() -> None:
        with partial_file(path) as partial:
            partial.write_text("ha")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert (list(tmp_path.iterdir()), path.read_text()) == ([path], "old")


def test_an_error_before_anything_is_written_is_the_one_that_is_raised(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), partial_file(tmp_path / "x"):
        raise ZeroDivisionError
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError), partial_file(tmp_path / "file" / "x"):
        pytest.fail("the folder is a file")
