"""Read the files of a run in its OUTPUT_DIR; missing or incomplete ones are reported, the rest is used."""

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
from stica_pv.engine.run_folder import CONFIG, ENVIRONMENT, RUN_INFO
from stica_pv.errors import UsageError
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.results import JSON, StoredResults, read_results

UNKNOWN_CAUSE = "unknown: the line is incomplete"
RUN_FILES = (CONFIG, METRICS, JSON)  # a folder with none of these holds no run


@dataclass(frozen=True)
class Run:
    """One OUTPUT_DIR.

    Attributes:
        folder: The OUTPUT_DIR.
        name: Name of the run, unique in a report.
        config: Configuration by dotted keys; empty if config.yaml is missing.
        info: Content of run.json; empty without a training.
        environment: Content of env.txt.
        steps: Lines of json_stats.log about logged steps, or of metrics.jsonl if it is missing.
        epochs: Lines of metrics.jsonl about ends of epochs.
        results: Scores of results.json by name.
        rows: Rows of results.json.
        bad_files: Rows of bad_files.csv: stage, step, path, cause.
        missing: Sentences about missing content.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    info: Mapping[str, Any]
    environment: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]
    results: Mapping[str, float]
    rows: Sequence[Row]
    bad_files: Sequence[Mapping[str, str]]
    missing: Sequence[str]

    @property
    def trains(self) -> bool:
        """Whether the run includes a training."""
        return bool(self.config.get("TRAIN.ENABLE", self.steps))

    @property
    def last_step(self) -> int:
        """The last logged step, 0 without one."""
        return int(self.steps[-1]["step"]) if self.steps else 0


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Return each OUTPUT_DIR, and instead of any other folder the OUTPUT_DIRs below it, by name.

    Raises:
        UsageError: A folder does not exist, or neither is an OUTPUT_DIR nor contains one.
    """
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; expected the OUTPUT_DIR of a run, or a folder with some")
        runs = [folder] if _is_run(folder) else sorted(Path(at) for at, _, _ in os.walk(folder) if _is_run(Path(at)))
        if not runs:
            raise UsageError(f"{folder} holds no run; expected an OUTPUT_DIR with {' or '.join(RUN_FILES)}")
        found += runs
    return found


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in RUN_FILES)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read each OUTPUT_DIR once, in the given order."""
    unique = list({folder.resolve(): folder for folder in folders}.values())
    return [read_run(folder, name) for folder, name in zip(unique, _names(unique), strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """Read one OUTPUT_DIR."""
    missing: list[str] = []
    numbers, timed = _lines(folder / METRICS, missing), _lines(folder / STATS, missing)
    config = _config(folder / CONFIG, missing)
    info = _json(folder / RUN_INFO, missing)
    results = _results(folder, missing)
    found = Run(
        folder=folder,
        name=name,
        config=config,
        info=info,
        environment=_environment(folder / ENVIRONMENT),
        steps=[line for line in timed or numbers if EPOCH_END not in line],
        epochs=[line for line in numbers if EPOCH_END in line],
        results=results.numbers,
        rows=results.rows,
        bad_files=[{**row, "cause": row["cause"] or UNKNOWN_CAUSE} for row in read_bad_files(folder / BAD_FILES)],
        missing=missing,
    )
    missing += _absent(found, timings=bool(timed))
    return found


def _absent(run: Run, *, timings: bool) -> list[str]:
    """Return sentences about what a complete run would have."""
    found, wanted = [], int(run.info.get("steps", 0))
    if run.trains and not run.steps:
        found.append(f"No training step was logged ({METRICS} is missing or empty).")
    elif run.trains and not timings:
        found.append(f"{STATS} is missing: speed, data wait and memory are unknown.")
    if run.steps and run.last_step < wanted:
        found.append(f"Training is not finished: {run.last_step} of {wanted} steps are logged.")
    if run.trains and not list_checkpoints(run.folder):
        found.append("There is no checkpoint.")
    if not run.results:
        enabled = run.config.get("TEST.ENABLE")
        found.append("The evaluation is not finished." if enabled else "Nothing was evaluated (TEST.ENABLE is False).")
    if not run.environment:
        found.append(f"{ENVIRONMENT} is missing: hardware and versions are unknown.")
    return found


def _lines(path: Path, missing: list[str]) -> list[dict[str, Any]]:
    """Return complete lines with a step; report incomplete ones, for example of a killed run."""
    if not path.is_file():
        return []
    found, incomplete = [], 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            line = None
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            found.append(line)
        else:
            incomplete += 1
    if incomplete:
        missing.append(
            f"{incomplete} lines of {path.name} are incomplete and ignored."
            if incomplete > 1
            else f"A line of {path.name} is incomplete and ignored."
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


def _results(folder: Path, missing: list[str]) -> StoredResults:
    try:
        return read_results(folder)
    except UsageError as error:
        missing.append(f"{error}.")
        return StoredResults({}, [])


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
    """Return the lines ``name: value``."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines) if value}


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the part of each path that distinguishes it from the others."""
    paths = [folder.resolve() for folder in folders]
    if len(paths) == 1:
        return [paths[0].name]
    common = Path(os.path.commonpath(paths))
    return [str(path.relative_to(common)) if path != common else path.name for path in paths]
