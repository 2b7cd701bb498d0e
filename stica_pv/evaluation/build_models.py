"""Build the models to evaluate: checkpoints, a model of another library, random initialization, baselines."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from stica_pv.config import CfgNode, flatten, with_keys
from stica_pv.config.keys import builds_trunk, is_adopted
from stica_pv.distributed import is_main
from stica_pv.engine import load_checkpoint, load_latest, load_weights
from stica_pv.engine.build_task import as_trained, create_task
from stica_pv.engine.checkpoint import FOLDER, Checkpoint
from stica_pv.errors import UsageError
from stica_pv.evaluation.baselines import COLORS, SPECTRUM, ColorThumbnail, MeanSpectrum
from stica_pv.evaluation.config import clip_format_from_config
from stica_pv.evaluation.evaluated_model import EvaluatedModel, Kind, content_hash
from stica_pv.keyed_random import seed_of
from stica_pv.models import STANDARD_INPUTS, create_average_pool, measure_map, trunk_from_source
from stica_pv.models.weights import Pretrained
from stica_pv.tasks import Task, VideoEncoder
from stica_pv.transforms.config import log_mel_from_config, normalization_is_chosen
from stica_pv.weights import best_layout

logger = logging.getLogger(__name__)

TRAINED = "trained"  # the name of the only checkpoint
RANDOM = "random_init"
PUBLISHED = "published"  # value of MODEL.SOURCE_WEIGHTS that is not a file
Checkpoints = Mapping[str, Checkpoint]


def create_evaluated_models(cfg: CfgNode, folder: Path, checkpoints: Checkpoints | None = None) -> list[EvaluatedModel]:
    """Build each checkpoint, the model of MODEL.SOURCE, a random initialization of each kind of them, and baselines.

    Args:
        cfg: The configuration.
        folder: Output folder of the run.
        checkpoints: Checkpoints by their names in the results; None: those of `find_checkpoints`.

    Raises:
        UsageError: There is nothing to evaluate and TEST.ALLOW_RANDOM_INIT is False, or a checkpoint is inconsistent.
    """
    if checkpoints is None:
        checkpoints = find_checkpoints(cfg, folder)
    settings = {name: (as_trained(cfg, found), found) for name, found in checkpoints.items()}
    trained = [trained_model(name, found, own) for name, (own, found) in settings.items()]
    untrained = [(name, random_model(own)) for name, (own, _) in settings.items()]
    if cfg.MODEL.SOURCE:
        weights = True if cfg.MODEL.SOURCE_WEIGHTS == PUBLISHED else str(cfg.MODEL.SOURCE_WEIGHTS)
        trained.append(source_model(cfg, "trained", weights))
        untrained.append((cfg.MODEL.SOURCE, source_model(cfg, "random", False)))
    untrained = untrained or [("", random_model(cfg))]
    kinds = {
        (one.hash, one.clip_format): (name, one) for name, one in reversed(untrained)
    }  # keep the first name of a kind
    random = [
        replace(one, name=RANDOM if len(kinds) == 1 else f"{RANDOM} of {name}", reestimate=again)
        for name, one in reversed(kinds.values())
        for again in (False, True)
    ]
    return [*trained, *random, *baselines(next(iter(settings.values()))[0] if settings else cfg)]


def trained_model(name: str, checkpoint: Checkpoint, cfg: CfgNode) -> EvaluatedModel:
    """Build the networks of a checkpoint with its weights.

    Args:
        name: Name in the results.
        checkpoint: Checkpoint for the networks of `cfg`.
        cfg: Configuration as trained, see `as_trained`.
    """
    task = create_task(_without_weights(cfg))
    load_weights(task, checkpoint["model"], min_share=1.0, source=f"checkpoint {name}")
    return _evaluated_model(name, "trained", cfg, task)


def random_model(cfg: CfgNode) -> EvaluatedModel:
    """Build the networks of a configuration with random initialization."""
    return _evaluated_model(RANDOM, "random", cfg, create_task(_without_weights(cfg)))


def source_model(cfg: CfgNode, kind: Kind, pretrained: Pretrained) -> EvaluatedModel:
    """Build the trunk of MODEL.SOURCE with average pooling; the clips are those of DATA.

    Frames are normalized as the library does for its family of networks, unless DATA.MEAN or DATA.STD is chosen.

    Args:
        cfg: The configuration.
        kind: Kind of the model.
        pretrained: False: random weights by RNG_SEED; True: published weights of the library; otherwise a file.
    """
    torch.manual_seed(seed_of("initial weights", cfg.RNG_SEED))
    trunk = trunk_from_source(cfg.MODEL.SOURCE, pretrained=pretrained)
    clip_format = clip_format_from_config(cfg)
    if not normalization_is_chosen(cfg):
        mean, std = best_layout(trunk.state_dict(), trunk.state_dict()).layout.mean_std
        clip_format = replace(clip_format, color=replace(clip_format.color, mean=mean, std=std))
    standard = STANDARD_INPUTS.get(cfg.MODEL.SOURCE.rpartition(":")[2])
    if standard and standard != (clip_format.frames, clip_format.size):
        logger.warning(
            "%s was published for %d frames of %d px but gets %d of %d px (DATA.NUM_FRAMES, DATA.TEST_CROP_SIZE); "
            "check DATA.TARGET_FPS too",
            *(cfg.MODEL.SOURCE, *standard, clip_format.frames, clip_format.size),
        )
    channels = measure_map(trunk, frames=clip_format.frames, size=clip_format.size)[0]
    pool = create_average_pool(in_channels=channels)
    encoders = {"video": VideoEncoder(trunk, pool, clip_format.color.mean, clip_format.color.std)}
    networks = (("MODEL.ARCH", cfg.MODEL.SOURCE), ("MODEL.WIDTH", 0), ("POOL.NAME", "average"))
    return EvaluatedModel(cfg.MODEL.SOURCE, kind, encoders, clip_format, content_hash(encoders), networks=networks)


def baselines(cfg: CfgNode) -> list[EvaluatedModel]:
    """Build the baselines without training, on the clips of a configuration."""
    clip_format = clip_format_from_config(cfg)
    encoders: dict[str, tuple[str, nn.Module]] = {
        COLORS: ("video", ColorThumbnail()),
        SPECTRUM: ("audio", MeanSpectrum(log_mel_from_config(cfg))),
    }
    return [
        EvaluatedModel(
            name, "baseline", {modality: encoder}, clip_format, content_hash({modality: encoder}, _settings(cfg))
        )
        for name, (modality, encoder) in encoders.items()
    ]


def find_checkpoints(cfg: CfgNode, folder: Path) -> Checkpoints:
    """Return the checkpoints to evaluate by their names in the results; empty where that is allowed.

    Raises:
        UsageError: There is no checkpoint.
    """
    paths = checkpoint_paths(cfg)
    if paths:
        return {name: load_checkpoint(path) for name, path in zip(names_of(paths), paths, strict=True)}
    if cfg.MODEL.SOURCE:
        return {}
    newest = load_latest(folder, purpose="evaluating")
    if newest is not None:
        return {TRAINED: newest}
    if cfg.TEST.ALLOW_RANDOM_INIT:
        if is_main():
            logger.warning("there is no checkpoint: only random initialization and baselines are evaluated")
        return {}
    raise UsageError(
        f"TEST.ENABLE: there is no checkpoint in {folder} and TEST.CHECKPOINT_FILE_PATH is not set "
        "(TEST.ALLOW_RANDOM_INIT True evaluates without one)"
    )


def checkpoint_paths(cfg: CfgNode) -> list[str]:
    """Return the checkpoints of TEST.CHECKPOINT_FILE_PATH, separated by commas; paths may contain commas.

    After each comma the longest piece that is a file counts; without a file, the piece up to the next comma.
    """
    pieces = cfg.TEST.CHECKPOINT_FILE_PATH.split(",")
    paths, start = [], 0
    while start < len(pieces):
        joined = {end: ",".join(pieces[start:end]).strip() for end in range(len(pieces), start, -1)}
        start = next((end for end, path in joined.items() if os.path.isfile(path)), start + 1)
        paths.append(joined[start])
    return [path for path in paths if path]


def names_of(paths: Sequence[str]) -> list[str]:
    """Return a name for each checkpoint: the part of its path that distinguishes it from the others.

    Raises:
        UsageError: Two paths are the same.
    """
    if len(set(paths)) < len(paths):
        raise UsageError(f"TEST.CHECKPOINT_FILE_PATH names a checkpoint twice: {', '.join(paths)}")
    if len(paths) == 1:
        return [TRAINED]
    parts = [tuple(p for p in Path(path).with_suffix("").parts if p != FOLDER) for path in paths]
    while all(len(part) > 1 and part[0] == parts[0][0] for part in parts):
        parts = [part[1:] for part in parts]
    while all(len(part) > 1 and part[-1] == parts[0][-1] for part in parts):
        parts = [part[:-1] for part in parts]
    names = [":".join(part) for part in parts]
    return names if len(set(names)) == len(names) else list(paths)


def _evaluated_model(name: str, kind: Kind, cfg: CfgNode, task: Task) -> EvaluatedModel:
    encoders = task.encoders()
    if not encoders:
        raise UsageError(f"TEST.ENABLE: TASK {cfg.TASK} has no encoder to evaluate: set TEST.ENABLE False")
    networks = tuple((key, value) for key, value in flatten(cfg) if builds_trunk(key))
    audio_network = tuple((key, value) for key, value in flatten(cfg) if key.startswith("AUDIO.") and is_adopted(key))
    return EvaluatedModel(
        name,
        kind,
        encoders,
        clip_format_from_config(cfg),
        content_hash(encoders, _settings(cfg)),
        networks=networks,
        audio_network=audio_network,
    )


def _settings(cfg: CfgNode) -> str:
    """Return all keys of networks and clips for hashes; weights and modules do not include all of them."""
    return repr([(key, value) for key, value in flatten(cfg) if is_adopted(key)])


def _without_weights(cfg: CfgNode) -> CfgNode:
    """Return the configuration without initial weights."""
    return with_keys(cfg, [("TRAIN.CHECKPOINT_FILE_PATH", ""), ("MODEL.PRETRAINED", False)])
