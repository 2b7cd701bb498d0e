"""Model card of an exported file: its content, its origin and how to load it."""

import json
from pathlib import Path
from typing import Any

import stica_pv
from stica_pv.engine.checkpoint import FOLDER
from stica_pv.errors import UsageError
from stica_pv.evaluation.results import JSON, read_results
from stica_pv.exchange.described import AUDIO, TASK, TRUNK, Described
from stica_pv.exchange.graphs import INPUT
from stica_pv.exchange.pieces import Piece
from stica_pv.weights import write_atomic
from stica_pv.weights.files import sha256_of


def write_card(card: Path, file: Path, kind: str, found: Described, piece: Piece, check: str) -> None:
    """Write the card of an exported file.

    Args:
        card: Path of the card, a new file.
        file: Exported file.
        kind: Format of the exported file.
        found: Source of the weights.
        piece: Exported part.
        check: Result of checking a program, or empty.
    """
    text = card_text(file, kind, found, piece, check)
    write_atomic(card, lambda path: path.write_text(text, encoding="utf-8"))


def card_text(file: Path, kind: str, found: Described, piece: Piece, check: str, name: str = "") -> str:
    """Return the card as Markdown.

    Args:
        file: Exported file.
        kind: Format of the exported file.
        found: Source of the weights.
        piece: Exported part.
        check: Result of checking a program, or empty.
        name: Argument of `stica_pv.load_encoder`; empty: the name of the file.
    """
    cfg = found.cfg()
    network = cfg.AUDIO.ARCH if piece.modality == AUDIO else cfg.MODEL.ARCH
    parameters = sum(tensor.numel() for tensor in piece.tensors.values() if tensor.is_floating_point())
    title = f"{network}, {piece.modality} {piece.what}" if piece.modality else f"{cfg.TASK}, all networks"
    info = {
        "file": f"`{file.name}`, format {kind}, {file.stat().st_size} bytes, sha256 `{sha256_of(file)}`",
        "holds": f"{len(piece.tensors)} tensors, {parameters} numbers",
        "input": piece.takes,
        "output": piece.gives,
        **({"check": check} if check else {}),
        "written by": f"stica_pv {stica_pv.__version__}",
    }
    sections = [
        f"# {title}",
        _table(info),
        "## How to load it",
        f"```python\n{_loading(name or file.name, kind, network, piece)}\n```",
        "## Training",
        _table(_training(found)),
        "## Results",
        _results(found),
        "## Licence",
        _licence(found),
        "## Configuration",
        f"```yaml\n{found.config.rstrip()}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _table(rows: dict[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _loading(name: str, kind: str, arch: str, piece: Piece) -> str:
    if kind == "onnx":
        names = ", ".join(piece.outputs)
        return (
            "import onnxruntime\n\n"
            f'session = onnxruntime.InferenceSession("{name}")\n'
            f"({names}{',' if len(piece.outputs) == 1 else ''}) = "
            f'session.run({json.dumps(piece.outputs)}, {{"{INPUT}": clips}})'
        )
    if kind == "torchscript":
        return f'import torch\n\nnetwork = torch.jit.load("{name}")\nfeatures = network(clips)'
    if kind == "torch_export":
        return f'import torch\n\nnetwork = torch.export.load("{name}").module()\nfeatures = network(clips)'
    if piece.what == TASK:
        return f'from stica_pv import load_encoder\n\nencoder = load_encoder("{name}")  # "audio" or "both" behind it'
    reader = f'from safetensors.torch import load_file\n\nweights = load_file("{name}")'
    if kind == "pth":
        reader = f'import torch\n\nweights = torch.load("{name}", weights_only=True)'
    if piece.what == TRUNK:
        names = f"# by the names of the plain {arch}, without its classifier"
        return f"{reader}\n{names}\nmodel.load_state_dict(weights, strict=False)"
    return (
        "from stica_pv import load_encoder\n\n"
        f'encoder = load_encoder("{name}", "{piece.modality}")\nfeatures = encoder(clips)'
    )


def _training(found: Described) -> dict[str, Any]:
    info = found.info
    converted = info.get("converted")
    if converted:
        rows = {
            "converted from": f"`{converted['file']}` (layout {converted['layout']}), sha256 `{converted['sha256']}`",
            "training": "not by this package; see the source",
        }
        if converted["drawn"]:
            rows["random weights, not trained"] = ", ".join(converted["drawn"])
        return rows
    return {
        "method": found.setting("TASK"),
        "steps": f"{info['step']} of {found.setting('TRAIN.BATCH_SIZE')} videos; {info['epoch_size']} per epoch",
        "list of videos": f"hash `{info.get('list_hash', '')}` ({found.setting('TRAIN.DATASET')})",
        "seed": found.setting("RNG_SEED"),
    }


def _results(found: Described) -> str:
    folder = Path(found.path).resolve().parent
    if folder.name != FOLDER or not (folder.parent / JSON).is_file():
        return f"Unknown: the run folder has no {JSON}."
    try:
        results = read_results(folder.parent)
    except UsageError as error:
        return f"Unknown: {error}."
    numbers = {name: f"{value:.1f}" for name, value in results.numbers.items()}
    return f"From {JSON} of the run, for its newest checkpoint at evaluation, in %:\n\n{_table(numbers)}"


def _licence(found: Described) -> str:
    if found.info.get("converted"):
        return "The code is Apache-2.0. The weights were not trained by it; the license of their source applies."
    return (
        "The code is Apache-2.0. The publisher of the weights chooses their license; "
        "the terms of the training videos may affect it."
    )
