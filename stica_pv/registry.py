"""Registries of the components that a configuration can name; explicit imports in the layer of each fill them."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fvcore.common.registry import Registry as _FvcoreRegistry

from stica_pv.errors import UsageError, nearest

T = TypeVar("T")


class Registry(_FvcoreRegistry):  # type: ignore[misc]  # fvcore ships no types
    """fvcore's registry, whose lookup of an unknown name lists the known ones and the nearest."""

    def get(self, name: str) -> Any:
        """Returns the component called `name`; raises `UsageError` if there is none."""
        if name not in self:
            known = self.names()
            raise UsageError(
                f"no {self._name} is called {name!r}{nearest(name, known)}; there are {', '.join(known) or 'none'} "
                "(add yours with CUSTOM_IMPORTS)"
            )
        return super().get(name)

    def named(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that registers a component as `name`."""

        def register(component: T) -> T:
            self._do_register(name, component)
            return component

        return register

    def build(self, name: str, **settings: Any) -> Any:
        """Calls the builder `name` with the settings that its signature accepts; other builders use the rest."""
        builder = self.get(name)
        accepted = inspect.signature(builder).parameters
        return builder(**{key: value for key, value in settings.items() if key in accepted})

    def names(self) -> list[str]:
        """Returns the registered names in alphabetical order."""
        return sorted(name for name, _ in self)


BACKBONES = Registry("video backbone")
AUDIO_ENCODERS = Registry("audio encoder")
POOLINGS = Registry("pooling")
TASKS = Registry("task")
SOURCES = Registry("data source")
EVALUATIONS = Registry("evaluation")
TRACKERS = Registry("tracker")

ALL: dict[str, Registry] = {
    "backbones": BACKBONES,
    "audio_encoders": AUDIO_ENCODERS,
    "poolings": POOLINGS,
    "tasks": TASKS,
    "datasets": SOURCES,
    "evaluations": EVALUATIONS,
}
