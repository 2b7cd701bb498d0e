"""Files of this package that say what they are: read, and built again without a command line or data."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from stica_pv.config import CfgNode, with_keys
from stica_pv.config.imports import import_components
from stica_pv.config.yaml_text import parse_stored_settings
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import as_trained, create_task
from stica_pv.engine.checkpoint import FORMAT, check_content, check_format
from stica_pv.errors import UsageError, check_choice
from stica_pv.exchange.preprocess import AudioPreprocess, VideoPreprocess
from stica_pv.exchange.repository import find_weights
from stica_pv.weights import WeightsFile, read_weights

EXPORT_FORMAT = "stica_pv export 1"
HEADER = "stica_pv"  # key of the safetensors metadata; its value is JSON
TASK, ENCODER, TRUNK = "task", "encoder", "trunk"
VIDEO, AUDIO, BOTH = "video", "audio", "both"
RUN_INFO = ("step", "epoch_size", "list_hash", "converted")
CONVERTED = {"file", "sha256", "layout", "drawn"}  # keys about the source of a converted file


@dataclass(frozen=True)
class Described:
    """Weights with the configuration that they belong to.

    Attributes:
        path: The file.
        what: ``task`` (all networks), ``encoder`` or ``trunk``.
        modality: ``video`` or ``audio``; empty for a task.
        config: Configuration of the run as YAML.
        tensors: Weights by the names of the task, the encoder or the trunk.
        info: Information about the run: step, epoch_size, list_hash, and the source of converted weights.
        imports: Modules with code that the file may use.
    """

    path: str
    what: str
    modality: str
    config: str
    tensors: dict[str, Tensor]
    info: dict[str, Any]
    imports: Sequence[str] = field(default=())

    def cfg(self) -> CfgNode:
        """Return the configuration of networks and clips of the run; other keys are defaults."""
        cfg = get_cfg()
        cfg.CUSTOM_IMPORTS = list(self.imports)
        return as_trained(cfg, {"config": self.config})

    def setting(self, key: str) -> Any:
        """Return the value of any key of the run, as written; None if it is missing."""
        return dict(parse_stored_settings(self.config, source=f"{self.path}: its configuration")).get(key)

    def header(self, what: str, modality: str) -> dict[str, Any]:
        """Return the header of an exported file."""
        return {"format": EXPORT_FORMAT, "what": what, "modality": modality, "config": self.config, **self.info}


def read_described(path: str | os.PathLike[str], *, imports: Sequence[str] = ()) -> Described:
    """Read a checkpoint, or an export that holds its configuration.

    Args:
        path: Checkpoint, export, folder or repository; see `stica_pv.exchange.repository.find_weights`.
        imports: Modules with code that the file may use; they are imported. A file alone never runs code.

    Raises:
        UsageError: The file cannot be read or does not describe its networks.
    """
    import_components(imports, source="imports")
    path = find_weights(path)
    weights = read_weights(path, strip=False)  # our own files use the names of the networks
    header = header_of(weights)
    if header.get("format") not in (FORMAT, EXPORT_FORMAT):
        raise UsageError(
            f"{path} holds weights without the configuration of their networks: expected a checkpoint of this "
            "package, or an encoder or .safetensors of `stica-pv export` (use `stica-pv convert` for others)"
        )
    info = {name: header[name] for name in RUN_INFO if name in header}
    what, modality = str(header.get("what", TASK)), str(header.get("modality", ""))
    return Described(path, what, modality, header["config"], weights.tensors, info, tuple(imports))


def header_of(weights: WeightsFile) -> Mapping[str, Any]:
    """Return the header of a file.

    Raises:
        UsageError: The header is malformed, or of a later version of this package.
    """
    header = _from_json(weights) if HEADER in weights.about else weights.about
    check_format(header, source=weights.path)
    if header.get("format") == FORMAT and HEADER not in weights.about:
        check_content({**header, "model": weights.tensors}, source=weights.path)
    if header.get("format") in (FORMAT, EXPORT_FORMAT):
        _check_header(header, weights.path)
    return header


def _from_json(weights: WeightsFile) -> Mapping[str, Any]:
    try:
        header = json.loads(weights.about[HEADER])
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{weights.path} is malformed: its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise UsageError(f"{weights.path} is malformed: its header is not a JSON object")
    return header


def _check_header(header: Mapping[str, Any], path: str) -> None:
    expected = {"config": str, "what": str, "modality": str, "step": int, "epoch_size": int, "list_hash": str}
    converted = header.get("converted")
    wrong = [name for name, kind in expected.items() if not isinstance(header.get(name, kind()), kind)]
    wrong += [] if "config" in header else ["config"]
    if converted is not None and not (isinstance(converted, dict) and converted.keys() >= CONVERTED):
        wrong.append("converted")
    if header.get("what", TASK) not in (TASK, ENCODER, TRUNK):
        wrong.append("what")
    if wrong:
        raise UsageError(f"{path} is malformed: {wrong[0]} is {header.get(wrong[0], 'missing')!r:.80}")


def load_encoder(path: str | os.PathLike[str], modality: str = VIDEO, *, imports: Sequence[str] = ()) -> nn.Module:
    """Build an encoder and load its weights, in evaluation mode.

    Args:
        path: A checkpoint, an exported encoder, a folder, or a repository ``owner/name`` of the Hugging Face Hub.
        modality: ``video``, ``audio`` or ``both``.
        imports: Modules with code that the file may use.

    Returns:
        A module that maps uint8 frames (B, 3, T, H, W), or audio (B, S) in [-1, 1], to (B, D). Its attributes say what
        it was trained on: ``fps`` and `preprocess`, a `VideoPreprocess`, for video; ``sample_rate`` and `preprocess`,
        an `AudioPreprocess`, for audio. For ``both``, an `nn.ModuleDict` of the two.

    Raises:
        UsageError: The file cannot be read or holds no such encoder.
    """
    found = read_described(path, imports=imports)
    check_choice("modality", modality, (VIDEO, AUDIO, BOTH))
    if modality == BOTH:
        return nn.ModuleDict({name: build_encoder(found, name) for name in (VIDEO, AUDIO)})
    return build_encoder(found, modality)


def load_trunk_of(path: str | os.PathLike[str], modality: str = VIDEO, *, imports: Sequence[str] = ()) -> nn.Module:
    """Build a trunk and load its weights, in evaluation mode.

    Args:
        path: A checkpoint, an exported encoder, or a trunk in safetensors.
        modality: ``video`` or ``audio``.
        imports: Modules with code that the file may use.

    Returns:
        A module that maps normalized frames (B, 3, T, H, W) to the feature map, or log-mel (B, 1, F, T) to (B, D).
    """
    return build_trunk(read_described(path, imports=imports), modality)


def build_encoder(found: Described, modality: str) -> nn.Module:
    """Build the encoder of a file that was read."""
    if found.what == TRUNK:
        raise UsageError(f"{found.path} holds a trunk without the pooling head that an encoder needs")
    if found.what == TASK:
        task = _task_of(found)
        _load(task, found)
        return _with_facts(_encoder_of(task, modality, found), found.cfg(), modality)
    _check_modality(found, modality)
    encoder = _encoder_of(_task_of(found), modality, found)
    _load(encoder, found)
    return _with_facts(encoder, found.cfg(), modality)


def modalities_of(found: Described) -> list[str]:
    """Return the modalities of which a file holds an encoder."""
    if found.what != TASK:
        return [found.modality]
    return [name for name in (VIDEO, AUDIO) if name in cast(Any, _task_of(found)).encoders()]


def preprocess_of(cfg: CfgNode, modality: str) -> VideoPreprocess | AudioPreprocess:
    """Return the function that makes the clips of a configuration."""
    data = cfg.DATA
    if modality == VIDEO:
        return VideoPreprocess(data.NUM_FRAMES, data.TARGET_FPS, data.TEST_CROP_SIZE)
    return AudioPreprocess(cfg.AUDIO.SAMPLE_RATE, data.NUM_FRAMES / data.TARGET_FPS)


def _with_facts(encoder: Any, cfg: CfgNode, modality: str) -> nn.Module:
    encoder.preprocess = preprocess_of(cfg, modality)
    if modality == VIDEO:
        encoder.fps = encoder.preprocess.fps
    else:
        encoder.sample_rate = encoder.preprocess.sample_rate
    built: nn.Module = encoder.eval()
    return built


def build_trunk(found: Described, modality: str) -> nn.Module:
    """Build the trunk of a file that was read."""
    if found.what != TRUNK:
        return trunk_of(build_encoder(found, modality), modality)
    _check_modality(found, modality)
    trunk = trunk_of(_encoder_of(_task_of(found), modality, found), modality)
    _load(trunk, found)
    return trunk.eval()


def trunk_of(encoder: nn.Module, modality: str) -> nn.Module:
    """Return the network of an encoder with the names of the plain model."""
    return encoder.get_submodule("backbone" if modality == VIDEO else "tower")


def _task_of(found: Described) -> nn.Module:
    # Activation checkpoints are for training only, and prevent tracing. Channels last changes rounding, and the numbers
    # should be those of the plain library.
    cfg = with_keys(found.cfg(), [("MODEL.ACT_CHECKPOINT", False), ("MODEL.CHANNELS_LAST", False)])
    # The initial weights are random and replaced; keep the random state of the caller.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()):
        return create_task(cfg)


def _encoder_of(task: Any, modality: str, found: Described) -> nn.Module:
    encoders = task.encoders()
    if modality not in encoders:
        check_choice(f"{found.path}: modality", modality, encoders)
    encoder: nn.Module = encoders[modality]
    return encoder


def _check_modality(found: Described, modality: str) -> None:
    if found.modality != modality:
        raise UsageError(f"{found.path} holds {found.modality}, expected {modality}")


def _load(module: nn.Module, found: Described) -> None:
    try:
        module.load_state_dict(found.tensors)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:300]
        raise UsageError(f"{found.path} does not match the networks of its own configuration: {text}") from error
