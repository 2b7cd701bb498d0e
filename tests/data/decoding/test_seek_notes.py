from pathlib import Path

from stica_pv.data.decoding import seek_notes
from stica_pv.data.decoding.seek_notes import seek_notes as notes_of


def test_notes_are_kept_for_a_file_until_it_changes(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    assert not notes_of(str(path)).is_too_late(7, 1.0)
    notes_of(str(path)).note_too_late(7, 2.0)
    notes = notes_of(str(path))
    assert [notes.is_too_late(7, 1.0), notes.is_too_late(7, 2.5), notes.is_too_late(8, 1.0)] == [True, False, False]
    path.write_bytes(b"12")
    assert not notes_of(str(path)).is_too_late(7, 1.0)


def test_notes_of_few_files_are_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(seek_notes, "_MOST_FILES", 2)
    paths = [tmp_path / str(i) for i in range(3)]
    for path in paths:
        path.write_bytes(b"1")
        notes_of(str(path)).note_beyond(4)
    assert [notes_of(str(path)).beyond for path in paths] == [0, 4, 4]
