"""Export a part of a checkpoint as weights or as a program, with a model card."""

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stica_pv.engine.checkpoint import FORMAT
from stica_pv.errors import UsageError, check_choice
from stica_pv.exchange.card import write_card
from stica_pv.exchange.described import HEADER, TASK, TRUNK, Described, read_described
from stica_pv.exchange.graphs import (
    ONNX,
    TORCH_EXPORT,
    TORCHSCRIPT,
    TRACED_BATCH,
    Program,
    check_program,
    deprecation_of_torchscript,
)
from stica_pv.exchange.pieces import Piece, piece_of
from stica_pv.progress import Progress
from stica_pv.tasks.encoders import POOLED
from stica_pv.weights import refuse_existing, write_atomic
from stica_pv.weights.files import NO_SAFETENSORS, save_torch

logger = logging.getLogger(__name__)

SAFETENSORS, PTH = "safetensors", "pth"
PROGRAMS: dict[str, Program] = {"torchscript": TORCHSCRIPT, "torch_export": TORCH_EXPORT, "onnx": ONNX}
SUFFIXES = {SAFETENSORS: ".safetensors", PTH: ".pth", "torchscript": ".ts", "torch_export": ".pt2", "onnx": ".onnx"}
FORMATS = tuple(SUFFIXES)


@dataclass(frozen=True)
class ExportRequest:
    """A request of an export.

    Attributes:
        source: Checkpoint or exported encoder.
        target: Output file, which must not exist.
        what: ``trunk``, ``encoder`` or ``task``.
        modality: ``video`` or ``audio``.
        format: One of `FORMATS`; empty: by the suffix of the target.
        layer: Output layer of an encoder program; empty: the pooled vector.
        imports: Modules of components that the source may name.
    """

    source: str
    target: Path
    what: str = TRUNK
    modality: str = "video"
    format: str = ""
    layer: str = ""
    imports: tuple[str, ...] = ()

    def resolved_format(self) -> str:
        """Return the format by name or suffix.

        Raises:
            UsageError: The format is unknown or does not match the suffix.
        """
        suffixes = {suffix: name for name, suffix in SUFFIXES.items()}
        if not self.format:
            if self.target.suffix not in suffixes:
                known = ", ".join(f"{suffix} ({name})" for suffix, name in suffixes.items())
                raise UsageError(
                    f"{self.target}: no format has the suffix {self.target.suffix!r}; expected one of {known}"
                )
            return suffixes[self.target.suffix]
        check_choice("--format", self.format, FORMATS)
        if self.target.suffix != SUFFIXES[self.format]:
            raise UsageError(f"{self.target}: format {self.format} needs the suffix {SUFFIXES[self.format]}")
        return self.format


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        file: Path of the weights or the program.
        card: Path of the model card.
        piece: Exported part.
        check: Result of checking a program; empty for weights.
    """

    file: Path
    card: Path
    piece: Piece
    check: str


def export(request: ExportRequest) -> Exported:
    """Write a file and its model card.

    Raises:
        UsageError: The source cannot be read or lacks the part, the target exists, or the format does not support it.
        RunFailed: A program differs from the network.
    """
    kind = request.resolved_format()
    card = request.target.with_name(
        f"{request.target.name}.md"
    )  # keeps the suffix, so that several formats can share a folder
    for path in (request.target, card):
        refuse_existing(path)
    if request.layer and kind not in PROGRAMS:
        raise UsageError(f"--layer is for programs ({', '.join(PROGRAMS)}): weights hold every layer")
    if request.layer and request.what != "encoder":
        raise UsageError(f"--layer is for --what encoder, got {request.what}")
    with Progress("export", 3 if kind in PROGRAMS else 2, unit="parts", delay_s=0.0) as progress:
        found = read_described(request.source, imports=request.imports)
        piece = piece_of(found, request.what, request.modality, request.layer or POOLED)
        progress.add()
        if kind in PROGRAMS:
            check = _write_program(request.target, kind, piece, progress)
        else:
            check = ""
            write_atomic(request.target, lambda path: save_piece(path, kind, found, piece))
        progress.add()
    write_card(card, request.target, kind, found, piece, check)
    return Exported(request.target, card, piece, check)


def _write_program(target: Path, kind: str, piece: Piece, progress: Progress) -> str:
    if piece.network is None or piece.example is None:
        raise UsageError(f"--format {kind} needs --what encoder or trunk, got task")
    network, example = piece.network, piece.example
    lines: list[str] = []

    def write(path: Path) -> None:
        try:
            PROGRAMS[kind].write(network, torch.cat([example] * TRACED_BATCH), piece.outputs, path)
        except (UsageError, OSError):  # write errors are reported by the caller
            raise
        except Exception as error:  # compilers of torch raise various errors for unsupported operators
            text = " ".join(str(error).split())[:300]
            raise UsageError(
                f"{kind} cannot express this {piece.modality} {piece.what} ({type(error).__name__}: {text}); "
                "try another format"
            ) from error
        progress.add()
        lines.append(check_program(PROGRAMS[kind], path, network, example))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # internal warnings of the compilers; the check finds errors
        write_atomic(target, write)
    deprecated = deprecation_of_torchscript(torch.__version__) if kind == "torchscript" else ""
    return "; ".join(filter(None, (lines[0], deprecated)))


def save_piece(path: Path, kind: str, found: Described, piece: Piece) -> None:
    """Write the weights of a part as ``safetensors`` or ``pth``.

    Raises:
        UsageError: safetensors is not installed.
        OSError: The file cannot be written.
    """
    # Without clones a trunk in another memory format, or tensors that share memory, could not be written.
    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in _of(piece)}
    header = found.header(piece.what, piece.modality)
    if kind == SAFETENSORS:
        _save_safetensors(tensors, path, header)
    elif piece.what == TRUNK:
        save_torch(tensors, path)  # weights only, so that torchvision and pytorchvideo can read it
    elif piece.what == TASK:
        checkpoint = {"format": FORMAT, "config": found.config, **found.info, "model": tensors}
        save_torch({**checkpoint, "optimizer": {}, "scaler": {}, "meter": {}}, path)
    else:
        save_torch({**header, "model": tensors}, path)


def _of(piece: Piece) -> list[tuple[str, Tensor]]:
    return list(piece.tensors.items())


def _save_safetensors(tensors: dict[str, Tensor], path: Path, header: dict[str, object]) -> None:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError as error:
        raise UsageError(NO_SAFETENSORS) from error
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(tensors, path, metadata={"format": "pt", HEADER: json.dumps(header)})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    if path.stat().st_mode != mode:  # safetensors makes a file that only its owner may read
        path.chmod(mode)
