"""Copies the code at submission, so that a requeue weeks later runs the same code."""

import shutil
import subprocess
from pathlib import Path

from stica_pv.errors import UsageError
from stica_pv.launch.process_spec import package_folder

MAX_BYTES = 200 * 2**20
SHOWN_FILES = 3


def take_snapshot(to: Path) -> list[str]:
    """Copies the clone that contains the package: tracked files, and untracked ones that git does not ignore.

    An installed package, in no clone, is copied alone.

    Args:
        to: A new folder.

    Returns:
        Names of the copied files.

    Raises:
        UsageError: The files are too large to be code, or git fails.
    """
    root = package_folder()
    names = _files_of_clone(root) if (root / ".git").exists() else _files_of_package(root)
    sizes = {name: (root / name).stat().st_size for name in names}
    if sum(sizes.values()) > MAX_BYTES:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:SHOWN_FILES]
        raise UsageError(
            f"the clone {root} holds {sum(sizes.values()) / 2**20:.0f} MB that git does not ignore (such as "
            f"{', '.join(largest)}), more than the {MAX_BYTES / 2**20:.0f} MB that may be copied for a job: "
            "add data to .gitignore, or move it out"
        )
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, to / name)
    return names


def check_import(snapshot: Path) -> None:
    """Raises `UsageError` unless the package was imported from the snapshot."""
    found = package_folder()
    if found != snapshot.resolve():
        raise UsageError(
            f"stica_pv was imported from {found} and not from the snapshot {snapshot}: an installed copy precedes "
            "PYTHONPATH there; uninstall it (pip uninstall stica_pv)"
        )


def _files_of_clone(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        message = error.stderr.decode().strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise UsageError(f"the code of {root} cannot be copied for the job, git says: {message}") from error
    names = sorted({name for name in done.stdout.decode().split("\0") if name})
    return [name for name in names if (root / name).is_file()]  # neither deleted files nor submodules


def _files_of_package(root: Path) -> list[str]:
    files = (path for path in (root / "stica_pv").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(str(path.relative_to(root)) for path in files)
