import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import REPOSITORY

from stica_pv.errors import UsageError
from stica_pv.launch import snapshot
from stica_pv.launch.snapshot import check_import, take_snapshot


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "clone"
    files = {"stica_pv/a.py": "1", "b.py": "2", "new.py": "3", "data/x": "4", ".gitignore": "data/\n"}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "add", "stica_pv", "b.py"], check=True)
    monkeypatch.setattr(snapshot, "package_folder", lambda: root)
    return root


def test_tracked_and_new_files_are_copied_as_they_are_now_and_ignored_ones_are_not(clone: Path, tmp_path: Path):
    (clone / "stica_pv" / "a.py").write_text("changed since")
    assert take_snapshot(tmp_path / "code") == [".gitignore", "b.py", "new.py", "stica_pv/a.py"]
    assert (tmp_path / "code" / "stica_pv" / "a.py").read_text() == "changed since"
    assert not (tmp_path / "code" / "data").exists()


def test_a_file_deleted_since_is_left_out(clone: Path, tmp_path: Path):
    (clone / "b.py").unlink()
    assert "b.py" not in take_snapshot(tmp_path / "code")


def test_data_in_the_clone_is_refused_by_name(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(snapshot, "MAX_BYTES", 1000)
    (clone / "clips.tar").write_bytes(bytes(2000))
    with pytest.raises(UsageError, match=r"clips\.tar.*\.gitignore"):
        take_snapshot(tmp_path / "code")
    assert not (tmp_path / "code").exists()


def test_an_installed_package_is_copied_alone(clone: Path, tmp_path: Path):
    (clone / ".git").rename(clone / "git")
    assert take_snapshot(tmp_path / "code") == ["stica_pv/a.py"]


def test_a_package_from_elsewhere_is_refused(tmp_path: Path):
    check_import(REPOSITORY)
    with pytest.raises(UsageError, match=r"imported from .* and not from the snapshot"):
        check_import(tmp_path)


def test_a_snapshot_is_imported_from_its_own_folder_even_in_the_clone(tmp_path: Path):
    take_snapshot(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import stica_pv; print(stica_pv.__file__)"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == tmp_path / "stica_pv" / "__init__.py"
