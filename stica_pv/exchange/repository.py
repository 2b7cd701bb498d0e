"""Where weights are: a file, a run's folder, a repository in a folder, or one of the Hugging Face Hub."""

import json
import os
import re
from pathlib import Path

from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import UsageError
from stica_pv.weights.files import sha256_of

WEIGHTS, FACTS, CARD = "model.safetensors", "config.json", "README.md"
PREFIX = "hf:"
NO_HUB = "huggingface_hub is not installed: pip install 'stica_pv[hub]'"
_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def find_weights(source: str | os.PathLike[str]) -> str:
    """Returns the file of weights.

    Args:
        source: A file; a folder with `WEIGHTS`; the folder of a run, whose newest checkpoint counts; or a repository
            ``owner/name`` or ``hf:owner/name`` of the Hugging Face Hub, ``@revision`` behind it if wanted, which is
            downloaded once. A path that exists comes before a repository.

    Raises:
        UsageError: A folder has no weights, a repository cannot be read, or its weights are not those of its facts.
    """
    text = os.fspath(source)
    if text.startswith(PREFIX):
        return str(_in_folder(_download(text.removeprefix(PREFIX))))
    path = Path(text)
    if path.is_dir():
        return str(_in_folder(path))
    if path.exists() or not _NAME.fullmatch(text) or path.suffix in (".pyth", ".pth", ".pt", ".safetensors"):
        return text
    return str(_in_folder(_download(text)))


def _in_folder(folder: Path) -> Path:
    weights = folder / WEIGHTS
    if weights.is_file():
        _check_hash(weights, folder / FACTS)
        return weights
    checkpoints = list_checkpoints(folder)
    if not checkpoints:
        raise UsageError(f"{folder} has no weights: expected {WEIGHTS}, or the folder of a run with checkpoints")
    return checkpoints[-1]


def _check_hash(weights: Path, facts: Path) -> None:
    """Compares the weights with the hash in config.json, if there is one.

    Raises:
        UsageError: They differ, or config.json is malformed.
    """
    if not facts.is_file():
        return
    try:
        expected = json.loads(facts.read_text(encoding="utf-8")).get("sha256", "")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{facts} is malformed: expected a JSON object") from error
    if expected and expected != sha256_of(weights):
        raise UsageError(f"{weights} is not the file that {facts.name} names by its sha256: download it again")


def hub_errors() -> tuple[type[Exception], ...]:
    """Returns what huggingface_hub raises, errors of its library for HTTP included."""
    from huggingface_hub.errors import HfHubHTTPError

    return *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)), ValueError


def _download(name: str) -> Path:
    repository, _, revision = name.partition("@")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{PREFIX}{name}: expected {PREFIX}owner/name or {PREFIX}owner/name@revision")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UsageError(f"{name}: there is no such file; as a repository of the Hugging Face Hub: {NO_HUB}") from error
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=[WEIGHTS, FACTS, CARD]))
    except hub_errors() as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{name}: there is no such file, and the repository of the Hugging Face Hub cannot be read: {reason}"
        ) from error
