"""Stand-ins for the libraries of trackers, which record what they are given."""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@dataclass
class Recorded:
    """What a service has heard: how its runs were begun, points by name, and how often a run was ended."""

    begun: list[dict[str, Any]] = field(default_factory=list)
    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    ended: int = 0

    def take(self, name: str, step: int, value: float) -> None:
        self.points.setdefault(name, []).append((step, value))


class ServiceError(Exception):
    """What the stand-ins raise."""


def install(monkeypatch: pytest.MonkeyPatch, name: str, **parts: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(parts, __spec__=SimpleNamespace(name=name))
    monkeypatch.setitem(sys.modules, name, module)


def make_wandb(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded()

    def init(**given: Any) -> Any:
        if given["mode"] == "online":
            raise ServiceError("no\n API key")
        recorded.begun.append(given)

        def log(numbers: dict[str, float], step: int) -> None:
            for name, value in numbers.items():
                recorded.take(name, step, value)

        def finish() -> None:
            recorded.ended += 1

        return SimpleNamespace(id=given["id"] or "run7", log=log, finish=finish)

    install(monkeypatch, "wandb", init=init, errors=SimpleNamespace(Error=ServiceError))
    return recorded


class Client:
    """MLflow's, as far as it is used; `recorded` is set by `make_mlflow`."""

    recorded: Recorded

    def __init__(self, tracking_uri: str) -> None:
        if tracking_uri == "http://nowhere":
            raise ServiceError("no\n answer")

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return name

    def create_run(self, experiment: str, run_name: str) -> Any:
        self.recorded.begun.append({"experiment": experiment, "name": run_name, "id": None})
        return SimpleNamespace(info=SimpleNamespace(run_id="run7"))

    def update_run(self, run: str, status: str) -> None:
        self.recorded.begun.append({"id": run, "status": status})

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        assert run == "run7"
        assert len(params) <= 100
        if any(metric.value == 13 for metric in metrics):
            raise ServiceError("gone\n away")
        for metric in metrics:
            self.recorded.take(metric.key, metric.step, metric.value)
        for param in params:
            self.recorded.begun[-1][param.key] = param.value

    def set_terminated(self, run: str) -> None:
        self.recorded.ended += 1


def metric(key: str, value: float, timestamp: int, step: int) -> Any:
    return SimpleNamespace(key=key, value=value, timestamp=timestamp, step=step)


def make_mlflow(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded()
    install(monkeypatch, "mlflow")
    install(monkeypatch, "mlflow.exceptions", MlflowException=ServiceError)
    install(monkeypatch, "mlflow.tracking", MlflowClient=type("MlflowClient", (Client,), {"recorded": recorded}))
    entities = {"Metric": metric, "Param": lambda key, value: SimpleNamespace(key=key, value=value)}
    install(monkeypatch, "mlflow.entities", **entities)
    return recorded
