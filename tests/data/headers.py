"""Notes which headers are opened, in whatever process."""

from collections.abc import Callable
from pathlib import Path

from stica_pv.data.manifest.manifest import MediaInfo


class Probed:
    """Probes, and keeps the names."""

    def __init__(self, log: Path, probe: Callable[[str], MediaInfo]) -> None:
        self._log, self._probe = log, probe

    def __call__(self, path: str) -> MediaInfo:
        """Open a file."""
        with self._log.open("a") as file:
            file.write(f"{path}\n")
        return self._probe(path)

    @property
    def paths(self) -> list[str]:
        """Names of the files in the order in which they were opened."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def clear(self) -> None:
        """Forget them."""
        self._log.unlink(missing_ok=True)
