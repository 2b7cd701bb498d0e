"""Claims of a paper and the ablations that test them: one table with figures and outcomes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stica_pv.commands.ablations.grid import Grid, check_keys, read_grid
from stica_pv.commands.ablations.statistics import Estimate, paired
from stica_pv.commands.ablations.table import collect, head, line, reference_scores
from stica_pv.config.yaml_text import parse_yaml
from stica_pv.errors import UsageError

GRID_KEYS = ("FILE", "HOURS", "WITH")
FOLDER = re.compile(r"\{(\w+)\}")
CLAIM_KEYS = ("CLAIM", "PAPER", "GRID", "MEASURE", "CONTRAST", "CELL")


@dataclass(frozen=True)
class TestedGrid:
    """A grid with the data that it needs.

    Attributes:
        grid: The grid.
        hours: Expected duration of all its runs on 2 CPU cores; None if nobody has measured it.
        overrides: Alternating keys and values; ``{name}`` stands for a folder of the user.
    """

    grid: Grid
    hours: float | None
    overrides: tuple[str, ...]

    @property
    def data(self) -> list[str]:
        """Returns the names of the folders that the grid needs."""
        return sorted({name for text in self.overrides for name in FOLDER.findall(text)})

    def arguments(self, folders: Mapping[str, str]) -> list[str]:
        """Returns the overrides with the folders filled in."""
        return [FOLDER.sub(lambda found: folders[found[1]], text) for text in self.overrides]


@dataclass(frozen=True)
class Claim:
    """A claim, and the number that tests it.

    Attributes:
        text: The claim, one clause.
        paper: Where the paper makes it, and its figure.
        grid: Name of the grid.
        measure: A metric of the grid.
        contrast: Name of a contrast of the grid; "" compares `cell` with the best untrained model.
        cell: Name of a cell; "" if `contrast` is given.
    """

    text: str
    paper: str
    grid: str
    measure: str
    contrast: str
    cell: str


@dataclass(frozen=True)
class Evidence:
    """Grids in the order of their runs, and claims in the order of the table."""

    grids: dict[str, TestedGrid]
    claims: tuple[Claim, ...]


def read_evidence(path: Path) -> Evidence:
    """Reads a file of claims.

    Raises:
        UsageError: It is missing or malformed; the message names the key.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    given = parse_yaml(path.read_text(encoding="utf-8"), source=str(path))
    check_keys(path, given, ("GRIDS", "CLAIMS"))
    if not isinstance(given["GRIDS"], dict) or not isinstance(given["CLAIMS"], list):
        raise UsageError(f"{path}: expected a mapping of GRIDS and a list of CLAIMS")
    grids = {str(name): _grid(path, one) for name, one in given["GRIDS"].items()}
    return Evidence(grids, tuple(_claim(path, one, grids) for one in given["CLAIMS"]))


def _grid(path: Path, given: Any) -> TestedGrid:
    check_keys(path, given, GRID_KEYS, optional=("HOURS", "WITH"))
    hours = given.get("HOURS")
    if hours is not None and not isinstance(hours, int | float):
        raise UsageError(f"{path}: HOURS: expected a number, got {hours!r}")
    overrides = tuple(str(given.get("WITH", "")).split())
    return TestedGrid(read_grid(path.parent / str(given["FILE"])), hours, overrides)


def _claim(path: Path, given: Any, grids: Mapping[str, TestedGrid]) -> Claim:
    check_keys(path, given, CLAIM_KEYS, optional=("CONTRAST", "CELL"))
    claim = Claim(*(str(given.get(key, "")) for key in CLAIM_KEYS))
    if claim.grid not in grids:
        raise UsageError(f"{path}: {claim.text}: GRID: expected one of {', '.join(grids)}, got {claim.grid}")
    grid = grids[claim.grid].grid
    for key, value, known in (
        ("MEASURE", claim.measure, grid.measures),
        ("CONTRAST", claim.contrast, ("", *grid.contrasts)),
        ("CELL", claim.cell, ("", *grid.cells)),
    ):
        if value not in known:
            raise UsageError(
                f"{path}: {claim.text}: {key}: expected one of {', '.join(filter(None, known))}, got {value}"
            )
    if bool(claim.contrast) == bool(claim.cell):
        raise UsageError(f"{path}: {claim.text}: expected CONTRAST or CELL, got both or neither")
    return claim


def difference(claim: Claim, grid: Grid, folder: Path) -> Estimate | None:
    """Returns the paired difference that tests a claim, None if no pair of runs has ended.

    Args:
        claim: The claim.
        grid: Its grid.
        folder: Folder of the grid's runs.
    """
    runs = grid.measuring(folder, [], grid.chosen(folder, []) or dict.fromkeys(grid.cells, ""))
    scores = collect(runs, grid.measures)[claim.measure]
    if claim.contrast:
        above, below = grid.contrasts[claim.contrast]
        return paired(scores.get(above, {}), scores.get(below, {}))
    untrained = list(reference_scores(runs, claim.measure).values())
    best = {name: max(one[name] for one in untrained if name in one) for names in untrained for name in names}
    return paired(scores.get(claim.cell, {}), best)


def outcome(found: Estimate | None) -> str:
    """Returns ``not run``, ``shown`` or ``against`` if the interval excludes zero, else ``not shown``."""
    if found is None:
        return "not run"
    if found.excludes_zero:
        return "shown" if found.mean > 0 else "against"
    return "not shown" if found.count > 1 else "not shown (one replicate)"


def claims_page(evidence: Evidence, out: Path, command: str) -> str:
    """Returns the table of claims in Markdown.

    Args:
        evidence: Grids and claims.
        out: Folder with a folder of runs for each grid.
        command: The command that makes the runs.
    """
    rows = []
    for claim in evidence.claims:
        tested = evidence.grids[claim.grid]
        found = difference(claim, tested.grid, out / claim.grid)
        what = claim.contrast or f"{claim.cell} above the best untrained"
        figure, pairs = (found.text(), str(found.count)) if found else ("–", "0")
        rows.append([claim.text, claim.paper, f"{claim.grid}: {what}", claim.measure, figure, pairs, outcome(found)])
    columns = ("claim", "paper", "test", "measure", "difference, 95 % t-interval", "pairs", "outcome")
    return "\n".join([f"`{command}`", "", *head(columns), *map(line, rows), "", *_durations(evidence)]) + "\n"


def _durations(evidence: Evidence) -> Sequence[str]:
    known = {name: one.hours for name, one in evidence.grids.items() if one.hours is not None}
    listed = ", ".join(f"{name} {hours:g}" for name, hours in known.items())
    unknown = [name for name in evidence.grids if name not in known]
    return [
        f"Expected hours on 2 CPU cores: {listed or 'none measured'}"
        f"{'; not measured: ' + ', '.join(unknown) if unknown else ''}."
    ]
