"""What a run left in its OUTPUT_DIR, read with patience: what is missing or torn is named, the rest used."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stica_pv.config import flatten
from stica_pv.config.renamed import with_present_names
from stica_pv.data.manifest.bad_files import NAME as BAD_FILES
from stica_pv.data.manifest.bad_files import read_bad_files
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.engine.records import EPOCH_END, METRICS, STATS
from stica_pv.engine.run_folder import CONFIG, ENVIRONMENT, FACTS
from stica_pv.errors import UsageError
from stica_pv.evaluation.results import JSON, ResultRow, read_rows

UNTOLD = "not told: the line is torn"
TELLING = (CONFIG, METRICS, JSON)  # a folder with none of these holds no run


@dataclass(frozen=True)
class Run:
    """One OUTPUT_DIR.

    Attributes:
        folder: The OUTPUT_DIR.
        name: Tells it from the other runs of a report.
        config: Its keys with dots; empty where config.yaml is missing.
        facts: run.json; empty without a training.
        environment: env.txt.
        steps: Lines of json_stats.log, or of metrics.jsonl where that is missing, about logged steps, in their order.
        epochs: Lines of metrics.jsonl about ends of epochs.
        results: results.json.
        rows: results.md, row by row.
        bad_files: Rows of bad_files.csv: stage, step, path, cause.
        missing: What is not there, in sentences.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    environment: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]
    results: Mapping[str, float]
    rows: Sequence[ResultRow]
    bad_files: Sequence[Mapping[str, str]]
    missing: Sequence[str]

    @property
    def trains(self) -> bool:
        """Whether it is, or was to be, a training."""
        return bool(self.config.get("TRAIN.ENABLE", self.steps))

    @property
    def last_step(self) -> int:
        """The last step that was logged, 0 if none was."""
        return int(self.steps[-1]["step"]) if self.steps else 0


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads each folder once, in the order given.

    Raises:
        UsageError: A folder does not exist or holds no run.
    """
    unique = list({folder.resolve(): folder for folder in folders}.values())
    return [read_run(folder, name) for folder, name in zip(unique, _names(unique), strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """Reads one folder.

    Raises:
        UsageError: It does not exist or holds no run.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; expected the OUTPUT_DIR of a run")
    if not any((folder / name).is_file() for name in TELLING):
        raise UsageError(f"{folder}: there is no run; expected an OUTPUT_DIR with {' or '.join(TELLING)}")
    missing: list[str] = []
    numbers, timed = _lines(folder / METRICS, missing), _lines(folder / STATS, missing)
    config = _config(folder / CONFIG, missing)
    facts = _json(folder / FACTS, missing)
    found = Run(
        folder=folder,
        name=name,
        config=config,
        facts=facts,
        environment=_environment(folder / ENVIRONMENT),
        steps=[line for line in timed or numbers if EPOCH_END not in line],
        epochs=[line for line in numbers if EPOCH_END in line],
        results=_json(folder / JSON, missing),
        rows=read_rows(folder),
        bad_files=[{**row, "cause": row["cause"] or UNTOLD} for row in read_bad_files(folder / BAD_FILES)],
        missing=missing,
    )
    missing += _absent(found, timings=bool(timed))
    return found


def _absent(run: Run, *, timings: bool) -> list[str]:
    """Says what a whole run would have."""
    found, wanted = [], int(run.facts.get("steps", 0))
    if run.trains and not run.steps:
        found.append(f"No training step was logged ({METRICS} is missing or empty).")
    elif run.trains and not timings:
        found.append(f"{STATS} is missing, and with it speed, data wait and memory.")
    if run.steps and run.last_step < wanted:
        found.append(f"Training has not ended: {run.last_step} of {wanted} steps are logged.")
    if run.trains and not list_checkpoints(run.folder):
        found.append("There is no checkpoint.")
    if not run.results:
        asked = run.config.get("TEST.ENABLE")
        found.append("The evaluation has not ended." if asked else "Nothing was evaluated (TEST.ENABLE is False).")
    if not run.environment:
        found.append(f"{ENVIRONMENT} is missing: hardware and versions are not known.")
    return found


def _lines(path: Path, missing: list[str]) -> list[dict[str, Any]]:
    """Whole lines with a step; what a killed run left of its last one is told."""
    if not path.is_file():
        return []
    found, torn = [], 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            line = None
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            found.append(line)
        else:
            torn += 1
    if torn:
        missing.append(
            f"{torn} lines of {path.name} are torn and left out."
            if torn > 1
            else f"A line of {path.name} is torn and left out."
        )
    return found


def _json(path: Path, missing: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except json.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        return found
    missing.append(f"{path.name} cannot be read.")
    return {}


def _config(path: Path, missing: list[str]) -> dict[str, Any]:
    if not path.is_file():
        missing.append(f"{path.name} is missing.")
        return {}
    try:
        return dict(with_present_names(flatten(yaml.safe_load(path.read_text(encoding="utf-8", errors="replace")))))
    except (yaml.YAMLError, AttributeError):  # AttributeError: it holds no mapping
        missing.append(f"{path.name} cannot be read.")
        return {}


def _environment(path: Path) -> dict[str, str]:
    """The lines ``name: value``."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines) if value}


def _names(folders: Sequence[Path]) -> list[str]:
    """The part of each path that tells it from the others."""
    paths = [folder.resolve() for folder in folders]
    if len(paths) == 1:
        return [paths[0].name]
    common = Path(os.path.commonpath(paths))
    return [str(path.relative_to(common)) if path != common else path.name for path in paths]
