"""The measured task: STiCA on R(2+1)D-18, with the part of a step beyond its trunk as separate work."""

import argparse
from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.commands.benchmarks.looped import Looped
from stica_pv.config import CfgNode
from stica_pv.engine.build_task import create_task
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure
from stica_pv.models import plan_crops
from stica_pv.structures import Embeddings
from stica_pv.tasks import AVContrastive
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.stica.av_params import VIEWS, AVParams

RECIPE = "stica/k400_30f"
SIZES = (
    ("arch", "MODEL.ARCH"),
    ("width", "MODEL.WIDTH"),
    ("frames", "DATA.NUM_FRAMES"),
    ("size", "DATA.TRAIN_CROP_SIZE"),
    ("batch", "TRAIN.BATCH_SIZE"),
)

MOST_CLIPS = 32
CLIP_BYTES = 0.9e9  # memory of a step on one view of a clip on the GPU, at the recipe's sizes in fp32
MEMORY_MARGIN = 1.3  # factor for gradients, workspace of kernels, and fragmentation

Counts = tuple[int, int, int, int]
"""Large and small crops in space, large and small ones in time, per view."""
STANDARD: Counts = (2, 4, 2, 1)
MANY: Counts = (8, 16, 4, 4)


def default_batch(views: int) -> int:
    """Returns the number of clips per step whose views fit into GPU memory at the recipe's sizes; 2 without a GPU."""
    if not torch.cuda.is_available():
        return 2
    memory, batch = torch.cuda.get_device_properties(0).total_memory, MOST_CLIPS
    while batch > 2 and views * batch * CLIP_BYTES * MEMORY_MARGIN > memory:
        batch //= 2
    return batch


def add_subject_arguments(parser: argparse.ArgumentParser, *, batch: int) -> None:
    """Declares the options of the network and its input."""
    parser.add_argument("--arch", default="r2plus1d_18", metavar="NAME", help="video backbone (r2plus1d_18)")
    parser.add_argument("--width", type=int, default=64, metavar="C", help="its width (64)")
    parser.add_argument("--frames", type=int, default=30, metavar="T", help="frames per clip (30)")
    parser.add_argument("--size", type=int, default=112, metavar="PX", help="their side (112)")
    parser.add_argument("--batch", type=int, default=batch, metavar="B", help=f"clips of a step ({batch})")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu")


def check_subject(args: argparse.Namespace) -> torch.device:
    """Returns the device, and sets one thread on the CPU, so that processor seconds measure the work."""
    if args.batch < 2:
        raise UsageError(f"--batch: batch-norm and contrast need at least 2 clips, got {args.batch}")
    if args.device not in ("cpu", "cuda") or (args.device == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"--device {args.device}: expected cpu, or cuda on a machine with a GPU")
    device = torch.device(args.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    return device


def subject_cfg(args: argparse.Namespace, crops: Counts = STANDARD, *overrides: str) -> CfgNode:
    """Returns the recipe at the given sizes, without dropout, so that results are comparable."""
    overrides_of_sizes = [part for name, key in SIZES for part in (key, str(getattr(args, name)))]
    overrides_of_sizes += ["HEAD.DROPOUT", "0.0"]
    for key, count in zip(
        ("NUM_LARGE_SPATIAL", "NUM_SMALL_SPATIAL", "NUM_LARGE_TEMPORAL", "NUM_SMALL_TEMPORAL"), crops, strict=True
    ):
        overrides_of_sizes += [f"CROP.{key}", str(count)]
    return configure(RECIPE, [*overrides_of_sizes, *overrides])


def create_subject(args: argparse.Namespace, crops: Counts = STANDARD, *overrides: str) -> AVContrastive:
    """Builds the task of the recipe on the CPU, in training mode."""
    task = create_task(subject_cfg(args, crops, *overrides))
    if not isinstance(task, AVContrastive):
        raise TypeError(f"{RECIPE}: expected STiCA's task, got {type(task).__name__}")
    return task.train()


def named(crops: Counts) -> str:
    """Returns a short name for the crops of a view."""
    parts = zip(crops, ("L", "S", "TL", "TS"), strict=True)
    return " + ".join(f"{count}{letter}" for count, letter in parts if count) or "no crops"


class BeyondTrunk:
    """What a step does besides its trunk and audio tower: crops, pooling, projections and loss, forward and backward.

    Attributes:
        task: The task, with both networks cut out of it: its `embed` takes maps.
        looped: The same as a loop.
    """

    def __init__(self, task: AVContrastive, batch: int, device: torch.device) -> None:
        rng = torch.Generator().manual_seed(0)
        backbone: Any = task.backbone
        tower: Any = task.audio_tower
        channels = sum(pathway.channels for pathway in backbone.pathways)
        self.audio = torch.randn(batch, tower.out_channels, generator=rng).to(device)
        self.maps = [torch.randn(batch, channels, *task.map_shape, generator=rng).relu().to(device) for _ in VIEWS]
        task.backbone, task.audio_tower = nn.Identity(), nn.Identity()
        self.task = task.to(device)
        self.boxes = [task.table.sample(view, task.map_shape, rng) for view in range(len(VIEWS))]
        tokens = task.pool.num_tokens(task.map_shape[0])
        crops = tuple(plan_crops(boxes, task.map_shape, tokens) for boxes in self.boxes)
        self.params = AVParams(crops, (), torch.ones(batch)).to(device)
        self.has_audio = torch.ones(batch, device=device)
        self.looped = Looped(task).to(device)

    def inputs(self) -> Inputs:
        """New leaves, whose gradients the trunk would go on with."""
        found = {name: one.detach().requires_grad_() for name, one in zip(VIEWS, self.maps, strict=True)}
        return found | {"log_mel": self.audio.detach().requires_grad_(), "audio_valid": self.has_audio}

    def ours(self) -> tuple[Tensor, Inputs]:
        """Runs the task's own path; returns its loss and the inputs with their gradients."""
        self.task.zero_grad(set_to_none=True)
        inputs = self.inputs()
        local = self.task.embed(inputs, self.params)
        total = self.task.loss(local, detached(local), rank_offset=0).total
        total.backward()
        return total.detach(), inputs

    def loop(self) -> tuple[Tensor, Inputs]:
        """Runs the loop over crops and terms; returns the same."""
        self.task.zero_grad(set_to_none=True)
        inputs = self.inputs()
        local = self.looped.embed([inputs[name] for name in VIEWS], self.boxes, inputs["log_mel"])
        total = self.looped.loss(local, detached(local), rank_offset=0)
        total.backward()
        return total.detach(), inputs


def detached(rows: Embeddings) -> Embeddings:
    """The same rows as keys."""
    return {name: value.detach() for name, value in rows.items()}
