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

LONGEST_VALUE = 500  # letters of a parameter that every version of MLflow takes
PARAMS_AT_ONCE = 100  # of one request
_FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in names


class Mlflow:
    """A run of MLflow; a resumed run goes on in it."""

    takes_back = False

    def __init__(self, folder: Path, *, uri: str, experiment: str, config: Mapping[str, Any]) -> None:
        """Begins the run, or finds it again.

        Args:
            folder: Of the run.
            uri: Of the tracking server, or of a data base.
            experiment: Where the run is listed; made if it is not there.
            config: Becomes the run's parameters.

        Raises:
            UsageError: The server does not answer, or does not know the run any more.
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
            told, uri = without_credentials(" ".join(str(error).split())), without_credentials(uri)
            raise UsageError(f"MLFLOW.ENABLE: {uri} cannot be used ({told}): see MLFLOW.TRACKING_URI") from error
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
        """Takes numbers by name; letters that MLflow does not allow in names become ``_``."""
        from mlflow.entities import Metric

        if not self._answers:
            return
        now = int(time.time() * 1000)
        metrics = [Metric(_FORBIDDEN.sub("_", name), float(value), now, step) for name, value in numbers.items()]
        try:
            self._client.log_batch(self._run, metrics=metrics)
        except self._error as error:  # a run of weeks does not end for its curves: they stand in metrics.jsonl too
            self._answers = False
            told = without_credentials(" ".join(str(error).split()))
            logger.warning("MLflow is told nothing from step %d on, as it does not answer: %s", step, told)

    def close(self) -> None:
        """Marks this life of the run as finished."""
        if self._answers:
            self._client.set_terminated(self._run)
