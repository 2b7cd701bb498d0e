"""Networks as programs for other runtimes, each checked by running the written file."""

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from stica_pv.errors import RunFailed, UsageError

logger = logging.getLogger(__name__)

BATCHES = (1, 3)  # batch sizes of the check, not that of tracing, to find a fixed batch size
TRACED_BATCH = 2
INPUT, OUTPUT = "input", "features"
ONNX_EXTRAS = ("onnx", "onnxscript")

Features = Tensor | Sequence[Tensor]
"""One tensor, or one for each pathway of a trunk."""

Run = Callable[[Tensor], Features]


@dataclass(frozen=True)
class Program:
    """A kind of program.

    Attributes:
        write: Function that writes a network, given an input (2, …), names of its outputs, and the file.
        open: Function that opens a file for running; returns None without its runtime.
        tolerance: Maximum difference from the network, relative to the largest feature.
        runtime: Name of the runtime.
    """

    write: Callable[[nn.Module, Tensor, list[str], Path], None]
    open: Callable[[Path], Run | None]
    tolerance: float
    runtime: str


def as_list(features: Features) -> list[Tensor]:
    """Return the tensors of all pathways as a list."""
    return [features] if isinstance(features, Tensor) else list(features)


def output_names(features: Features) -> list[str]:
    """Return ``features``, or ``features0``, ``features1``, … for several pathways."""
    return [OUTPUT] if isinstance(features, Tensor) else [f"{OUTPUT}{i}" for i in range(len(features))]


def deprecation_of_torchscript(version: str) -> str:
    """Return a sentence if this version of torch deprecates TorchScript, else an empty string."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < (2, 14):
        return ""
    return f"TorchScript is deprecated from torch 2.14 on (here {version}); export a .pt2 (torch.export) instead"


def check_program(program: Program, path: Path, network: nn.Module, example: Tensor) -> str:
    """Compare a written program with its network on new clips, at two batch sizes.

    Args:
        program: Kind of program.
        path: File of the program.
        network: Original network, in evaluation mode.
        example: Clip (1, …), from which other clips are derived.

    Returns:
        A one-line summary.

    Raises:
        RunFailed: The outputs differ by more than the tolerance.
    """
    run = program.open(path)
    if run is None:
        return f"not checked: {program.runtime} is not installed"
    worst = 0.0
    for batch in BATCHES:
        clips = torch.cat([example.roll(number + batch, dims=-1) for number in range(batch)])
        with torch.no_grad():
            expected = as_list(network(clips))
        got = as_list(run(clips))
        shapes = [[tuple(part.shape) for part in parts] for parts in (got, expected)]
        if shapes[0] != shapes[1]:
            raise RunFailed(f"the program returns {shapes[0]} for {batch} clips, expected {shapes[1]}")
        for reference, output in zip(expected, got, strict=True):
            worst = max(worst, float((output - reference).abs().max() / reference.abs().max().clamp_min(1e-12)))
    if not worst <= program.tolerance:
        raise RunFailed(f"the program differs from the network by {worst:.1e}, tolerance {program.tolerance:.0e}")
    return (
        f"checked with {program.runtime} at batch {' and '.join(map(str, BATCHES))}: largest difference {worst:.1e} of "
        f"the largest feature (tolerance {program.tolerance:.0e})"
    )


def _write_torchscript(network: nn.Module, example: Tensor, outputs: list[str], path: Path) -> None:
    buffer = io.BytesIO()  # on a full disk torch aborts the process when it writes the file itself
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), buffer)
    path.write_bytes(buffer.getbuffer())


def _open_torchscript(path: Path) -> Run:
    program = torch.jit.load(str(path), map_location="cpu")

    def run(clips: Tensor) -> Features:
        with torch.no_grad():
            return program(clips)

    return run


def _write_torch_export(network: nn.Module, example: Tensor, outputs: list[str], path: Path) -> None:
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    buffer = io.BytesIO()  # as above
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=shapes), buffer)
    path.write_bytes(buffer.getbuffer())


def _open_torch_export(path: Path) -> Run:
    with path.open("rb") as file:  # by its name, torch would warn about the suffix of a file that is being written
        program = torch.export.load(file).module()

    def run(clips: Tensor) -> Features:
        with torch.no_grad():
            return program(clips)

    return run


def _write_onnx(network: nn.Module, example: Tensor, outputs: list[str], path: Path) -> None:
    absent = [name for name in ONNX_EXTRAS if find_spec(name) is None]
    if absent:
        raise UsageError(f"ONNX needs {' and '.join(absent)}: pip install -c constraints.txt -e '.[export]'")
    torch.onnx.export(
        network,
        (example,),
        str(path),
        input_names=[INPUT],
        output_names=outputs,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _open_onnx(path: Path) -> Run | None:
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(clips: Tensor) -> Features:
        return [torch.from_numpy(part) for part in session.run(None, {INPUT: clips.numpy()})]

    return run


TORCHSCRIPT = Program(_write_torchscript, _open_torchscript, 1e-5, "TorchScript")
TORCH_EXPORT = Program(_write_torch_export, _open_torch_export, 1e-5, "torch.export")
ONNX = Program(_write_onnx, _open_onnx, 1e-4, "onnxruntime")
