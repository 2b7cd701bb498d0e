"""Makes pytorchvideo 0.1.5 importable with the torch and torchvision of today.

Put ``import stica_pv.compat`` above each import of torchvision or pytorchvideo; it repairs three things, only if they
are broken. (1) A torchvision whose compiled part was built for another torch, such as a CUDA torchvision with a CPU
torch, cannot be imported at all, although little of it needs that part. (2) pytorchvideo.transforms imports a module
that torchvision 0.17 renamed. (3) fvcore, which pytorchvideo imports, compiles its losses with TorchScript, of which
torch 2.14 warns in every command.
"""

import importlib
import importlib.util
import logging
import sys
import warnings
from typing import Any, NoReturn

import torch

__all__ = ["repair", "torchvision_is_repaired", "torchvision_report"]

_log = logging.getLogger(__name__)

_SYMPTOM = "operator torchvision::nms does not exist"
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_OLD_NAME = "torchvision.transforms.functional_tensor"
_NEW_NAME = "torchvision.transforms._functional_tensor"

# Its schemas are removed with the object, so the module keeps a reference.
_library: torch.library.Library | None = None


def repair() -> None:
    """Makes torchvision and pytorchvideo importable; does nothing if they are, or when called again.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: torchvision fails for another reason than the one repaired here.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
        _import_without_compiled_part()
    _alias_functional_tensor()
    _import_scripted_losses()


def torchvision_is_repaired() -> bool:
    """Returns whether torchvision runs here without its compiled part (no nms, no image decoding)."""
    return _library is not None


def _import_scripted_losses() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=FutureWarning)
        importlib.import_module("fvcore.nn")


def torchvision_report() -> str:
    """Returns a note for the installation if torchvision was built for another torch, else an empty string."""
    if not torchvision_is_repaired():
        return ""
    return (
        f"note: torchvision was built for another torch than {torch.__version__} (operator torchvision::nms does not "
        "exist); stica_pv works around it, a plain `import torchvision` fails. To fix it, install both from one "
        "index, by the command of https://pytorch.org/get-started/locally\n"
    )


def _import_without_compiled_part() -> None:
    """Declares the operators that torchvision describes on import, then imports it afresh."""
    global _library
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        library.define(schema)
        library.impl(name, _missing_operator(name), "CompositeExplicitAutograd")
    _library = library
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    importlib.import_module("torchvision")
    _log.debug("torchvision is used without its compiled part, which does not fit torch %s", torch.__version__)


def _missing_operator(name: str) -> Any:
    def missing(*_: Any) -> NoReturn:
        raise RuntimeError(
            f"torchvision.ops.{name} needs the compiled part of torchvision, which was built for another torch than "
            f"{torch.__version__}; install the torchvision that belongs to this torch"
        )

    return missing


def _alias_functional_tensor() -> None:
    """Gives torchvision's tensor functionals their name of before 0.17, which pytorchvideo.transforms imports."""
    if _OLD_NAME in sys.modules or importlib.util.find_spec(_OLD_NAME) is not None:
        return
    module = importlib.import_module(_NEW_NAME)
    sys.modules[_OLD_NAME] = module
    parent, _, leaf = _OLD_NAME.rpartition(".")
    setattr(importlib.import_module(parent), leaf, module)


repair()
