"""Curves in MLflow."""

import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stica_pv.credentials import without_credentials
from stica_pv.engine.trackers.tracker import known_run, remember_run
from stica_pv.errors import UsageError

logger = logging.getLogger(__name__)

LONGEST_VALUE = 500  # characters of a parameter that every version of MLflow accepts
PARAMS_AT_ONCE = 100  # per request
_FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in names


class Mlflow:
    """A run of MLflow; a resumed run continues it."""

    takes_back = False

    def __init__(self, folder: Path, *, uri: str, experiment: str, config: Mapping[str, Any]) -> None:
        """Starts the run, or continues it.

        Args:
            folder: Folder of the run.
            uri: URI of the tracking server or of a database.
            experiment: Experiment of the run; created if missing.
            config: Parameters of the run.

        Raises:
            UsageError: The server does not answer, or no longer has the run.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._error: type[Exception] = MlflowException
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._run = known_run(folder, "mlflow")
            if self._run:
                self._client.update_run(self._run, status="RUNNING")
            else:
                self._run = self._begin(experiment, folder.name, config)
                remember_run(folder, "mlflow", self._run)
        except MlflowException as error:
            reason, uri = without_credentials(" ".join(str(error).split())), without_credentials(uri)
            raise UsageError(f"MLFLOW.ENABLE: {uri} cannot be used ({reason}): see MLFLOW.TRACKING_URI") from error
        self._answers = True

    def _begin(self, experiment: str, name: str, config: Mapping[str, Any]) -> str:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        run: str = self._client.create_run(number, run_name=name).info.run_id
        params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in config.items()]
        for first in range(0, len(params), PARAMS_AT_ONCE):
            self._client.log_batch(run, params=params[first : first + PARAMS_AT_ONCE])
        return run

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers by name; characters that MLflow does not allow in names become ``_``."""
        from mlflow.entities import Metric

        if not self._answers:
            return
        now = int(time.time() * 1000)
        metrics = [Metric(_FORBIDDEN.sub("_", name), float(value), now, step) for name, value in numbers.items()]
        try:
            self._client.log_batch(self._run, metrics=metrics)
        except self._error as error:  # a long run must not fail for its curves: they are in metrics.jsonl too
            self._answers = False
            reason = without_credentials(" ".join(str(error).split()))
            logger.warning("MLflow does not answer; nothing is logged there from step %d on: %s", step, reason)

    def close(self) -> None:
        """Marks this attempt of the run as finished."""
        if self._answers:
            self._client.set_terminated(self._run)
