"""Inspection of a training step: its exact batch, sampled parameters and network inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.data.config import manifest_path
from stica_pv.data.loading.collate import collate
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.bad_files import NAME as BAD_FILES
from stica_pv.data.manifest.bad_files import lasting_failures
from stica_pv.data.manifest.videos import list_from_config, open_in_turn
from stica_pv.engine.loaders import create_loader, create_sampler
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.report.recorder import Recorder, SampledParameters
from stica_pv.structures import Batch, Comparison, InputNote, ReadFailure, SampleKey, StepKeys, Views
from stica_pv.tasks import Task
from stica_pv.tasks.base import AugmentationParams, Inputs
from stica_pv.tasks.encoders import VideoEncoder


@dataclass(frozen=True)
class InspectedStep:
    """Inspected clips of a step.

    Attributes:
        step: Number of the step.
        epoch: Epoch of the step.
        seed: Seed of the run.
        batch_size: Number of clips of the whole step.
        keys: Keys of the samples.
        names: Names of the files that were read, as in the list.
        classes: Class name or number of each clip; empty if the list has no labels.
        views: Views of the task.
        sampled: Sampled parameters of each clip.
        batch: Batch of the loader.
        inputs: Network inputs by name.
        notes: Display metadata of the inputs; see `Task.input_notes`.
        attention: Attention weights by input (B, layers, K), if networks are run.
        comparisons: Rows that the loss compares, if networks are run.
    """

    step: int
    epoch: int
    seed: int
    batch_size: int
    keys: tuple[SampleKey, ...]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    views: Views
    sampled: tuple[SampledParameters, ...]
    batch: Batch
    inputs: Inputs
    notes: Mapping[str, InputNote]
    attention: Mapping[str, Tensor]
    comparisons: Sequence[Comparison]

    def __len__(self) -> int:
        return len(self.batch)


def inspect_step(
    cfg: CfgNode, task: Task, folder: Path, *, step: int, clips: int, run_networks: bool = False
) -> InspectedStep:
    """Build the first clips of a step exactly as training would.

    Random parameters of a clip depend on its key only, shared ones on the step only, so the number of clips per process
    makes no difference.

    Args:
        cfg: The configuration of a training.
        task: Task of the training, on the CPU.
        folder: OUTPUT_DIR with the manifest.
        step: Number of the step, from 0.
        clips: Maximum number of clips.
        run_networks: Whether to compute the attention of the pooling and the rows that the loss compares.

    Raises:
        UsageError: The run has no such step, or its list cannot be used.
        UnreadableClip: A clip and all its replacements are unreadable.
    """
    if cfg.DATA.SHUFFLE_AUDIO:
        raise UsageError("DATA.SHUFFLE_AUDIO replaces the audio of each clip; set it to False to inspect a batch")
    listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT)
    task.check_labels(listed.labels)
    videos = open_in_turn(listed, manifest_path(cfg, folder), task.views())
    sampler = create_sampler(cfg, videos, 0)
    if not 0 <= step < sampler.end:
        raise UsageError(f"--step: expected 0 to {sampler.end - 1}, got {step}")
    keys = [SampleKey(sampler.epoch_of(step), index) for index in sampler.local_indices(step)[:clips]]
    dataset = create_loader(cfg, task.views(), videos, sampler).dataset
    failed = lasting_failures(folder / BAD_FILES)
    dataset.skip({path: sampler.epoch_of(at) for path, at in failed.items()})
    sampled, batch = _read(dataset, keys)
    params = task.sample_params(StepKeys(cfg.RNG_SEED, step, keys[0].epoch, tuple(key.index for key in keys)))
    with torch.no_grad():
        inputs = task.prepare(batch, params)
        notes = task.input_notes(params)
        attention, comparisons = _run_networks(task, inputs, params, notes) if run_networks else ({}, ())
    labels, names = videos.labels, videos.names
    indices = batch.index.tolist()
    return InspectedStep(
        step=step,
        epoch=keys[0].epoch,
        seed=cfg.RNG_SEED,
        batch_size=sampler.batch_size,
        keys=tuple(keys),
        names=tuple(names[index] for index in indices),
        classes=() if labels is None else tuple(class_name(listed.class_names, labels[index]) for index in indices),
        views=task.views(),
        sampled=sampled,
        batch=batch,
        inputs=inputs,
        notes=notes,
        attention=attention,
        comparisons=comparisons,
    )


def class_name(names: Sequence[str], label: int) -> str:
    """Return the name of a class, or ``class 3`` if it has only a number."""
    name = names[label] if 0 <= label < len(names) else str(label)
    return f"class {name}" if name.isdigit() else name


def _read(dataset: ClipDataset, keys: Sequence[SampleKey]) -> tuple[tuple[SampledParameters, ...], Batch]:
    recorder, samples, sampled = Recorder(dataset), [], []
    for key in keys:
        sample = dataset[key]
        if isinstance(sample, ReadFailure):
            raise UnreadableClip(sample.path, sample.cause)
        samples.append(sample)
        sampled.append(recorder.sample)
    batch = collate(samples)
    if isinstance(batch, ReadFailure):
        raise AssertionError("samples collate to a batch")
    return tuple(sampled), batch


def _run_networks(
    task: Task, inputs: Inputs, params: AugmentationParams, notes: Mapping[str, InputNote]
) -> tuple[dict[str, Tensor], Sequence[Comparison]]:
    """Return the attention of the pooling and the compared rows, in evaluation mode."""
    was_training = task.training
    task.eval()
    encoders, attention = task.encoders(), {}
    for name, note in notes.items():
        encoder = encoders.get(note.encoder)
        weights = encoder.time_attention(inputs[name]) if isinstance(encoder, VideoEncoder) else None
        if weights is not None:
            attention[name] = weights
    comparisons = task.comparisons(task.embed(inputs, params))
    task.train(was_training)
    return attention, comparisons
