"""Names and default folders of runs: short, safe in a shell, and another one for other settings."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stica_pv.config.keys import is_free
from stica_pv.credentials import without_credentials
from stica_pv.errors import UsageError
from stica_pv.recipe_files import CLONE, recipe_of

LONGEST = 60
SHORT_SECTIONS = ("TRAIN.", "DATA.", "MODEL.", "SOLVER.")  # left out of names: no key is in two of them
BETWEEN = "__"
_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_SAFE = re.compile(r"[A-Za-z0-9.+-]+(_[A-Za-z0-9.+-]+)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_DIGEST = 8


@dataclass(frozen=True)
class NamePart:
    """One setting in the name of a run.

    Attributes:
        key: Key in the name.
        value: Value in the name, before unsafe characters are replaced.
        exact: Text that distinguishes the setting, where the value in the name is only a part of it.
    """

    key: str
    value: str
    exact: str = ""

    def __str__(self) -> str:
        value = _UNSAFE.sub("_", self.value).strip("_")
        return f"{self.key}-{value}"

    @property
    def is_exact(self) -> bool:
        """Whether the name holds the whole setting."""
        return not self.exact and _SAFE.fullmatch(self.value) is not None


def default_output_dir(cfg_file: str, overrides: Sequence[str], name: str | None = None) -> str:
    """Returns output/<project>/<config>[/<overrides>], or output/<project>/<name>.

    The project of a recipe is its folder below the recipes: gdt, stica/eval. That of another file is its folder, or its
    folders below the nearest one called projects.

    Args:
        cfg_file: Path of the configuration.
        overrides: Alternating keys and values.
        name: Name that the user gives to the run; None for none.

    Raises:
        UsageError: The name cannot be the name of a folder, or would have to be quoted in a shell.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: expected letters, digits and . _ + -, beginning with a letter or digit")
    path = Path(cfg_file)
    project = Path("output", *_project_of(path))
    if name is not None:
        return str(project / name)
    parts = _telling_parts(overrides)
    return str(project / path.stem / join_parts(parts)) if parts else str(project / path.stem)


def setting_parts(settings: Iterable[tuple[str, str]]) -> list[NamePart]:
    """Returns the parts of a name for keys and values."""
    return [NamePart(_short(key), without_credentials(value)) for key, value in settings]


def join_parts(parts: Sequence[NamePart]) -> str:
    """Returns a name of at most `LONGEST` characters, the same in any order of the parts.

    Where it does not show all settings exactly it ends with a digest of them.
    """
    ordered = sorted(parts, key=lambda part: part.key)
    shown = list(map(str, ordered))
    text = BETWEEN.join(shown)
    if len(text) <= LONGEST and all(part.is_exact for part in ordered):
        return text
    settings = "\n".join(f"{part.key}={part.exact or part.value}" for part in ordered)
    space = LONGEST - len(BETWEEN) - _DIGEST
    while len(shown) > 1 and len(BETWEEN.join(shown)) > space:
        shown.pop()
    kept = BETWEEN.join(shown)[:space].rstrip("._-+")
    return f"{kept}{BETWEEN}{hashlib.sha256(settings.encode()).hexdigest()[:_DIGEST]}"


def _project_of(path: Path) -> tuple[str, ...]:
    recipe = recipe_of(path)
    if recipe is not None:
        return Path(recipe).parent.parts
    folders = path.resolve().parent.parts
    return folders[len(folders) - folders[::-1].index(CLONE) :] if CLONE in folders else folders[-1:]


def _telling_parts(overrides: Sequence[str]) -> list[NamePart]:
    values = map(without_credentials, overrides[1::2])
    last = dict(zip(overrides[::2], values, strict=False))  # the last value of a key counts
    parts = setting_parts((key, value) for key, value in last.items() if not is_free(key))
    if last.get("DATA.PATH_TO_DATA_DIR"):
        parts.append(NamePart("data", Path(last["DATA.PATH_TO_DATA_DIR"]).name))
    if last.get("TEST.CHECKPOINT_FILE_PATH"):  # each evaluation keeps its results
        parts.append(_checkpoint_part(last["TEST.CHECKPOINT_FILE_PATH"]))
    return parts


def _checkpoint_part(file: str) -> NamePart:
    """Returns run and step of a checkpoint, as ``demo_step_00000256``."""
    path = Path(file)
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return NamePart("checkpoint", f"{run.name}_{path.stem}" if run.name else path.stem, exact=file)


def _short(key: str) -> str:
    section = next((section for section in SHORT_SECTIONS if key.startswith(section)), "")
    return key.removeprefix(section).lower()
