"""Reads files of `torch.save` with objects of any class besides tensors, without importing or running any of them.

Training programs save their arguments, schedulers and NumPy values with the weights. This unpickler only rebuilds
tensors and plain containers; an object of any other class becomes an `Inert` object, which keeps nothing.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, BinaryIO

import torch

Global = tuple[str, str]
"""Module and name of a class or function, as a pickle writes it."""

_REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
_CONTAINERS: dict[Global, Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    **{
        ("torch", str(dtype).removeprefix("torch.")): dtype
        for dtype in vars(torch).values()
        if type(dtype) is torch.dtype
    },
    **{
        (module, name): kind
        for module in ("builtins", "__builtin__")
        for name, kind in (("set", set), ("complex", complex))
    },
}
_NAMES_SHOWN = 3


class _Sealed(type):
    """Type of the inert classes; a pickle can set attributes of all its objects, so these refuse it.

    Attributes:
        source: Name of the class or function in the file.
    """

    source: str

    def __setattr__(cls, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"the file sets {name} of a class")


class Inert(metaclass=_Sealed):
    """Replaces an object that is not built: accepts all operations of a pickle, and keeps nothing.

    Attributes:
        source: Name from its class.
    """

    __slots__ = ()
    source: str

    def __new__(cls, *args: object, **kwargs: object) -> "Inert":
        """Accepts any arguments."""
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Ignores the arguments."""

    def __call__(self, *args: object, **kwargs: object) -> "Inert":
        """Returns itself, if the file calls a method."""
        return self

    def __setstate__(self, state: object) -> None:
        """Ignores the attributes."""

    def __setitem__(self, key: object, value: object) -> None:
        """Ignores an item of a dict subclass."""

    def append(self, value: object) -> None:
        """Ignores an element of a list subclass."""

    def extend(self, values: object) -> None:
        """Ignores elements of a list subclass."""

    def add(self, value: object) -> None:
        """Ignores an element of a set subclass."""


class _Rebuild:
    """A function of torch that a file may call, but whose attributes it cannot set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: object) -> Any:
        return self._function(*args)


def load_inert(path: str) -> Any:
    """Reads a file of `torch.save` to the CPU, archive or of the format before torch 1.6.

    Returns:
        Its content, with an `Inert` object instead of each that is neither a tensor nor plain.

    Raises:
        Exception: Whatever torch, pickle or the file system raise. Torch would run a TorchScript program and unpack a
            tar file, so the caller refuses both.
    """
    module = SimpleNamespace(__name__=__name__, Unpickler=_unpickler(), load=_load)
    return torch.load(path, map_location="cpu", pickle_module=module, weights_only=False)


def left_out_of(content: Mapping[Any, Any]) -> tuple[str, ...]:
    """Returns what `load_inert` did not build, by the key that holds it: ``args (argparse.Namespace)``."""
    found = {str(key): _sources(value) for key, value in content.items()}
    return tuple(f"{key} ({_listed(names)})" for key, names in found.items() if names)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _sources(value: object) -> list[str]:
    """Returns the source names of the inert objects in nested containers, each once."""
    names: dict[str, None] = {}
    visited: set[int] = set()  # a pickle may contain itself
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Inert | _Sealed):
            names[value.source] = None
        elif id(value) not in visited and isinstance(value, Mapping | list | tuple | set):
            visited.add(id(value))
            waiting += [*value, *value.values()] if isinstance(value, Mapping) else value
    return sorted(names)


def _unpickler() -> type[pickle.Unpickler]:
    """Returns a class for one file, from which torch derives its own."""
    known = _CONTAINERS | {("torch._utils", name): _Rebuild(getattr(torch._utils, name)) for name in _REBUILD}
    made: dict[Global, _Sealed] = {}

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in known:
                return known[module, name]
            if (module, name) not in made:
                made[module, name] = _Sealed(
                    "Inert", (Inert,), {"__slots__": (), "source": f"{module}.{name}", "__module__": ""}
                )
            return made[module, name]

    return Unpickler


def _load(file: BinaryIO, **settings: Any) -> Any:
    return _unpickler()(file, **settings).load()
