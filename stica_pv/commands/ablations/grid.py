"""Grid of an ablation: cells, one value chosen per cell, and replicates that all cells share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stica_pv.config.yaml_text import parse_yaml
from stica_pv.engine.records import EPOCH_END, read_metrics
from stica_pv.engine.run_name import join_parts, setting_parts
from stica_pv.errors import UsageError
from stica_pv.evaluation.results import JSON, read_results

KEYS = ("CELLS", "CHOOSE", "REPLICATES", "MEASURES", "CONTRASTS")
CHOICE_KEYS = ("KEY", "VALUES", "MEASURE", "WITH")


@dataclass(frozen=True)
class Run:
    """One run of the grid.

    Attributes:
        cell: Name of its cell.
        file: Configuration file.
        name: Name of the run within its cell.
        overrides: Alternating keys and values, without OUTPUT_DIR.
        folder: OUTPUT_DIR of the run.
    """

    cell: str
    file: Path
    name: str
    overrides: tuple[str, ...]
    folder: Path

    @property
    def arguments(self) -> list[str]:
        """Returns the arguments of ``stica-pv train``."""
        return ["--cfg", str(self.file), *self.overrides, "OUTPUT_DIR", str(self.folder)]

    @property
    def started(self) -> bool:
        """Returns whether the run has written anything."""
        return self.folder.is_dir()

    def scores(self) -> dict[str, float] | None:
        """Returns the numbers of its results.json, None before its end."""
        return read_results(self.folder).numbers if (self.folder / JSON).is_file() else None


@dataclass(frozen=True)
class Cell:
    """A configuration that runs by itself.

    Attributes:
        file: Configuration file.
        overrides: Alternating keys and values that define the cell.
    """

    file: Path
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """The key whose value is chosen for each cell.

    Attributes:
        key: Configuration key.
        values: Candidate values, as on a command line.
        measure: Metric of the epochs' lines in metrics.jsonl, on training videos only; the largest final one is chosen.
        overrides: Further overrides of the choosing runs.
    """

    key: str
    values: tuple[str, ...]
    measure: str
    overrides: tuple[str, ...]

    def name_of(self, value: str) -> str:
        """Returns the name of the run with a candidate value."""
        return join_parts(setting_parts([(self.key, value)]))

    def score(self, run: Run) -> float | None:
        """Returns the measure at the end of a run, None before it."""
        settings = run.folder / "run.json"
        if not settings.is_file():
            return None
        last = json.loads(settings.read_text(encoding="utf-8"))["steps"]
        ends = [line for line in read_metrics(run.folder) if EPOCH_END in line and line["step"] == last]
        return float(ends[-1][self.measure]) if ends and self.measure in ends[-1] else None


@dataclass(frozen=True)
class Grid:
    """An ablation, as its file describes it.

    Attributes:
        file: Grid file.
        cells: Cells by name.
        choice: Key to choose, None if nothing is chosen.
        replicates: Overrides of each replicate; run i of every cell shares them, so runs are compared in pairs.
        measures: Names of metrics in results.json.
        contrasts: Expected higher and lower cell, by name of the contrast; empty if cells are not comparable.
    """

    file: Path
    cells: dict[str, Cell]
    choice: Choice | None
    replicates: tuple[tuple[str, ...], ...]
    measures: tuple[str, ...]
    contrasts: dict[str, tuple[str, str]]

    def choosing(self, out: Path, overrides: Sequence[str]) -> list[Run]:
        """Returns the runs that choose a value for each cell."""
        if self.choice is None:
            return []
        return [
            self._run(
                out, cell, self.choice.name_of(value), (*overrides, *self.choice.overrides, self.choice.key, value)
            )
            for cell in self.cells
            for value in self.choice.values
        ]

    def has_chosen(self, run: Run) -> bool:
        """Returns whether a choosing run has the measure that chooses."""
        return self.choice is not None and self.choice.score(run) is not None

    def chosen(self, out: Path, overrides: Sequence[str]) -> dict[str, str] | None:
        """Returns the value of each cell, None while a choosing run is unfinished."""
        if self.choice is None:
            return dict.fromkeys(self.cells, "")
        best: dict[str, tuple[float, str]] = {}
        for run in self.choosing(out, overrides):
            score = self.choice.score(run)
            if score is None:
                return None
            best[run.cell] = max(best.get(run.cell, (-1.0, "")), (score, run.overrides[-1]), key=lambda pair: pair[0])
        return {cell: value for cell, (_, value) in best.items()}

    def measuring(self, out: Path, overrides: Sequence[str], chosen: dict[str, str]) -> list[Run]:
        """Returns the replicates of each cell."""
        return [
            self._run(out, cell, f"replicate{number}", (*overrides, *replicate, *self._key(chosen[cell])))
            for number, replicate in enumerate(self.replicates)
            for cell in self.cells
        ]

    def _key(self, value: str) -> tuple[str, ...]:
        return (self.choice.key, value) if self.choice is not None else ()

    def _run(self, out: Path, cell: str, name: str, overrides: tuple[str, ...]) -> Run:
        configuration = self.cells[cell]
        return Run(cell, configuration.file, name, (*configuration.overrides, *overrides), out / cell / name)


def read_grid(path: Path) -> Grid:
    """Reads a grid file.

    Raises:
        UsageError: It is missing or malformed, or names a missing file; the message names the key.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    given = parse_yaml(path.read_text(encoding="utf-8"), source=str(path))
    check_keys(path, given, KEYS, optional=("CHOOSE", "CONTRASTS"))
    cells = _cells(path, given["CELLS"])
    return Grid(
        path,
        cells,
        _choice(path, given.get("CHOOSE")),
        tuple(tuple(line.split()) for line in _texts(path, "REPLICATES", given["REPLICATES"])),
        tuple(_texts(path, "MEASURES", given["MEASURES"])),
        _contrasts(path, cells, given.get("CONTRASTS") or {}),
    )


def _texts(path: Path, key: str, given: Any) -> list[str]:
    if not isinstance(given, list) or not given or not all(isinstance(text, str) for text in given):
        raise UsageError(f"{path}: {key}: expected a list of texts ('- ...' for each), got {given!r}")
    return given


def _cells(path: Path, given: Any) -> dict[str, Cell]:
    if not isinstance(given, dict) or not given:
        raise UsageError(f"{path}: CELLS: expected 'name: FILE KEY VALUE ...' for each cell, got {given!r}")
    cells = {}
    for name, arguments in given.items():
        if not isinstance(arguments, str) or not arguments.strip():
            raise UsageError(f"{path}: CELLS: {name}: expected FILE KEY VALUE ..., got {arguments!r}")
        file, *overrides = arguments.split()
        if not (path.parent / file).is_file():
            raise UsageError(f"{path}: CELLS names {path.parent / file}, which does not exist")
        cells[str(name)] = Cell(path.parent / file, tuple(overrides))
    return cells


def _contrasts(path: Path, cells: dict[str, Cell], given: Any) -> dict[str, tuple[str, str]]:
    if not isinstance(given, dict):
        raise UsageError(f"{path}: CONTRASTS: expected 'name: [cell above, cell below]' for each, got {given!r}")
    for name, pair in given.items():
        if not isinstance(pair, list) or len(pair) != 2 or not set(map(str, pair)) <= set(cells):
            raise UsageError(f"{path}: CONTRASTS: {name}: expected two of {', '.join(cells)}, got {pair}")
    return {str(name): (str(above), str(below)) for name, (above, below) in given.items()}


def _choice(path: Path, given: Any) -> Choice | None:
    if given is None:
        return None
    check_keys(path, given, CHOICE_KEYS)
    if not isinstance(given["VALUES"], list) or not given["VALUES"]:
        raise UsageError(f"{path}: CHOOSE.VALUES: expected a list of values, got {given['VALUES']!r}")
    values = tuple(str(value) for value in given["VALUES"])
    return Choice(str(given["KEY"]), values, str(given["MEASURE"]), tuple(str(given["WITH"]).split()))


def check_keys(path: Path, given: Any, keys: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises `UsageError` unless a mapping has these keys, apart from optional ones, and no others."""
    found = set(given) if isinstance(given, dict) else set()
    if not set(keys) - set(optional) <= found or not found <= set(keys):
        raise UsageError(
            f"{path}: expected a mapping with {', '.join(keys)}, got {', '.join(map(str, found)) or given!r}"
        )
