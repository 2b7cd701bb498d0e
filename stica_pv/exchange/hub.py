"""Publishes a checkpoint: writes the layout of a repository of the Hugging Face Hub, and uploads it.

transformers' ``AutoModel`` with remote code is not offered: it would run code of the repository on each user's machine,
whereas `load_encoder` reads weights and settings alone.
"""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import stica_pv
from stica_pv.errors import UsageError
from stica_pv.exchange.card import card_text
from stica_pv.exchange.described import (
    AUDIO,
    TASK,
    VIDEO,
    Described,
    build_encoder,
    modalities_of,
    preprocess_of,
    read_described,
)
from stica_pv.exchange.exports import SAFETENSORS, save_piece
from stica_pv.exchange.pieces import example_of, piece_of
from stica_pv.exchange.repository import CARD, FACTS, NO_HUB, WEIGHTS, hub_errors
from stica_pv.weights import refuse_existing, write_atomic
from stica_pv.weights.files import sha256_of

TAGS = ("video", "audio", "self-supervised", "video-feature-extraction", "pytorchvideo")


def check_name(name: str) -> None:
    """Refuses a name that is not ``owner/name``.

    Raises:
        UsageError: It has another form.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UsageError(f"repository: got {name!r}, expected owner/name")


def write_repository(
    source: str, folder: Path, *, imports: Sequence[str] = (), license_name: str = "", name: str = ""
) -> list[Path]:
    """Writes model.safetensors (all networks), config.json and README.md, the model card.

    Args:
        source: A checkpoint.
        folder: A new or empty folder.
        imports: Modules with code that the checkpoint may use.
        license_name: License of the weights for the card, such as ``cc-by-4.0``; empty: not stated.
        name: Name of the repository in the card; empty: the path of the folder.

    Returns:
        The files.

    Raises:
        UsageError: The checkpoint cannot be read, or a file exists already.
    """
    weights, facts, card = files = [folder / WEIGHTS, folder / FACTS, folder / CARD]
    for path in files:
        refuse_existing(path)
    found = read_described(source, imports=imports)
    piece = piece_of(found, TASK, VIDEO, "")
    write_atomic(weights, lambda path: save_piece(path, SAFETENSORS, found, piece))
    content = json.dumps(_facts(found, weights), indent=2) + "\n"
    write_atomic(facts, lambda path: path.write_text(content, encoding="utf-8"))
    text = f"{_front_matter(license_name)}\n{card_text(weights, SAFETENSORS, found, piece, '', name or str(folder))}"
    write_atomic(card, lambda path: path.write_text(text, encoding="utf-8"))
    return files


def push_to_hub(
    source: str, repository: str, *, imports: Sequence[str] = (), license_name: str = "", private: bool = False
) -> str:
    """Writes a repository and uploads it; the account is that of ``hf auth login`` or of the variable HF_TOKEN.

    Args:
        source: A checkpoint.
        repository: ``owner/name``; made if it does not exist.
        imports: Modules with code that the checkpoint may use.
        license_name: License of the weights, for the card.
        private: Whether a new repository is private.

    Returns:
        Its address.

    Raises:
        UsageError: The checkpoint cannot be read, or the hub cannot be reached or refuses.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UsageError(NO_HUB) from error
    with tempfile.TemporaryDirectory() as folder:
        write_repository(source, Path(folder), imports=imports, license_name=license_name, name=repository)
        api = HfApi()
        try:
            url = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"Weights of {Path(source).name}")
        except hub_errors() as error:
            reason = " ".join(str(error).split())[:300]
            raise UsageError(f"{repository}: the Hugging Face Hub cannot be reached or refuses: {reason}") from error
    return str(url)


def _facts(found: Described, weights: Path) -> dict[str, Any]:
    """Returns config.json: what programs and people need before they load the weights."""
    cfg = found.cfg()
    encoders = {
        VIDEO: {"architecture": cfg.MODEL.ARCH, "mean": list(cfg.DATA.MEAN), "std": list(cfg.DATA.STD)},
        AUDIO: {"architecture": cfg.AUDIO.ARCH},
    }
    facts: dict[str, Any] = {
        "library_name": "stica_pv",
        "stica_pv_version": stica_pv.__version__,
        "task": cfg.TASK,
        "custom_imports": found.setting("CUSTOM_IMPORTS") or [],
        "step": found.info.get("step"),
        "sha256": sha256_of(weights),
    }
    for modality in modalities_of(found):
        clip, _ = example_of(cfg, modality)
        with torch.no_grad():
            size = build_encoder(found, modality)(clip).shape[1]
        facts[modality] = encoders[modality] | asdict(preprocess_of(cfg, modality)) | {"dim": size}
    return facts


def _front_matter(license_name: str) -> str:
    lines = ["---", "library_name: stica_pv", *([f"license: {license_name}"] if license_name else []), "tags:"]
    return "\n".join([*lines, *(f"- {tag}" for tag in TAGS), "---", ""])
