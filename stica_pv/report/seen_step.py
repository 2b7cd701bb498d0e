"""A step of training as a person may look at it: the very batch, how it was drawn, what the networks are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.data.config import manifest_path
from stica_pv.data.loading.dataset import ClipDataset, collate
from stica_pv.data.manifest.bad_files import NAME as BAD_FILES
from stica_pv.data.manifest.bad_files import lasting_failures
from stica_pv.data.manifest.videos import list_from_config, open_in_turn
from stica_pv.engine.loaders import create_loader, create_sampler
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.report.drawn import DrawnSample, Recorder
from stica_pv.structures import Batch, Comparison, InputNote, ReadFailure, SampleKey, StepKeys, Views
from stica_pv.tasks import Task
from stica_pv.tasks.base import Inputs, Plan
from stica_pv.tasks.encoders import VideoEncoder


@dataclass(frozen=True)
class InspectedStep:
    """Some clips of a step.

    Attributes:
        step: Number of the step.
        epoch: Its epoch.
        seed: Seed of the run.
        batch_size: Clips of the whole step.
        keys: The wanted samples.
        names: Files that were read, as the list names them.
        classes: Name or number of the class of each; empty if the list has none.
        views: What the task wants to see.
        drawn: How each sample was made.
        batch: What the loader gives.
        inputs: What the networks are given, by name.
        notes: How the inputs were made; see `Task.input_notes`.
        attention: By input (B, layers, K), where a network was asked.
        comparisons: What the loss compares, where a network was asked.
    """

    step: int
    epoch: int
    seed: int
    batch_size: int
    keys: tuple[SampleKey, ...]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    views: Views
    drawn: tuple[DrawnSample, ...]
    batch: Batch
    inputs: Inputs
    notes: Mapping[str, InputNote]
    attention: Mapping[str, Tensor]
    comparisons: Sequence[Comparison]

    def __len__(self) -> int:
        return len(self.batch)


def look_at_step(
    cfg: CfgNode, task: Task, folder: Path, *, step: int, clips: int, ask_networks: bool = False
) -> InspectedStep:
    """Makes the first clips of a step exactly as training would.

    Every draw of a clip follows from its key, and those that all clips share from the step: how many clips of a batch
    a process has makes no difference to any of them.

    Args:
        cfg: The configuration of a training.
        task: Its task, on the CPU.
        folder: OUTPUT_DIR, where the manifest lies.
        step: Number of the step, from 0.
        clips: How many to look at, at most.
        ask_networks: Also what pooling attends to, and how similar the rows are that the loss compares.

    Raises:
        UsageError: The run has no such step, or its list cannot be used.
        UnreadableClip: A clip cannot be read, and none of its replacements.
    """
    if cfg.DATA.SHUFFLE_AUDIO:
        raise UsageError(
            "DATA.SHUFFLE_AUDIO gives each clip the audio of another of its batch: set it to False to look"
        )
    listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT)
    task.check_labels(listed.labels)
    videos = open_in_turn(listed, manifest_path(cfg, folder), task.views())
    sampler = create_sampler(cfg, videos, 0)
    if not 0 <= step < sampler.end:
        raise UsageError(f"--step: the run has steps 0 to {sampler.end - 1}, got {step}")
    keys = [SampleKey(sampler.epoch_of(step), index) for index in sampler.local_indices(step)[:clips]]
    dataset = create_loader(cfg, task.views(), videos, sampler).dataset
    failed = lasting_failures(folder / BAD_FILES)
    dataset.skip({path: sampler.epoch_of(at) for path, at in failed.items()})
    drawn, batch = _read(dataset, keys)
    plan = task.draw(StepKeys(cfg.RNG_SEED, step, keys[0].epoch, tuple(key.index for key in keys)))
    with torch.no_grad():
        inputs = task.prepare(batch, plan)
        notes = task.input_notes(plan)
        attention, comparisons = _ask(task, inputs, plan, notes) if ask_networks else ({}, ())
    labels, names = videos.labels, videos.names
    places = batch.index.tolist()
    return InspectedStep(
        step=step,
        epoch=keys[0].epoch,
        seed=cfg.RNG_SEED,
        batch_size=sampler.batch_size,
        keys=tuple(keys),
        names=tuple(names[place] for place in places),
        classes=() if labels is None else tuple(class_name(listed.class_names, labels[place]) for place in places),
        views=task.views(),
        drawn=drawn,
        batch=batch,
        inputs=inputs,
        notes=notes,
        attention=attention,
        comparisons=comparisons,
    )


def class_name(names: Sequence[str], label: int) -> str:
    """Returns the name of a class; ``class 3`` where it has none but its number."""
    name = names[label] if 0 <= label < len(names) else str(label)
    return f"class {name}" if name.isdigit() else name


def _read(dataset: ClipDataset, keys: Sequence[SampleKey]) -> tuple[tuple[DrawnSample, ...], Batch]:
    recorder, samples, drawn = Recorder(dataset), [], []
    for key in keys:
        sample = dataset[key]
        if isinstance(sample, ReadFailure):
            raise UnreadableClip(sample.path, sample.cause)
        samples.append(sample)
        drawn.append(recorder.sample)
    batch = collate(samples)
    if isinstance(batch, ReadFailure):
        raise AssertionError("samples collate to a batch")
    return tuple(drawn), batch


def _ask(
    task: Task, inputs: Inputs, plan: Plan, notes: Mapping[str, InputNote]
) -> tuple[dict[str, Tensor], Sequence[Comparison]]:
    """Attention of the pooling and the compared rows; as in evaluation, without dropout."""
    was_training = task.training
    task.eval()
    encoders, attention = task.encoders(), {}
    for name, note in notes.items():
        encoder = encoders.get(note.encoder)
        weights = encoder.time_attention(inputs[name]) if isinstance(encoder, VideoEncoder) else None
        if weights is not None:
            attention[name] = weights
    comparisons = task.comparisons(task.embed(inputs, plan))
    task.train(was_training)
    return attention, comparisons
