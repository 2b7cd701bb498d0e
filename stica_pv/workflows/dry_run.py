"""Dry run of a training: build everything, run one batch forward and backward, and log what the run would be."""

import contextlib
import logging
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.optim import Optimizer

from stica_pv.config import CfgNode
from stica_pv.data.config import manifest_path
from stica_pv.data.manifest.videos import open_in_turn
from stica_pv.data.sources.video_list import VideoList
from stica_pv.distributed import barrier, from_main, is_main
from stica_pv.engine import train_step
from stica_pv.engine.config import loop_settings_from_config, schedule_from_config
from stica_pv.engine.loaders import create_loader, create_sampler
from stica_pv.engine.memory import KeptTensors, bytes_of, optimizer_bytes
from stica_pv.engine.out_of_memory import fails_when_full, training_advice
from stica_pv.engine.start_table import start_table
from stica_pv.engine.state import create_state
from stica_pv.engine.training import derived_info
from stica_pv.errors import UsageError
from stica_pv.models import Pooling
from stica_pv.structures import Batch
from stica_pv.structures.media import describe
from stica_pv.tasks import Task
from stica_pv.temporary_folder import temporary_folder

logger = logging.getLogger(__name__)

Shapes = dict[str, str]


def dry_run(cfg: CfgNode, task: Task, listed: VideoList, folder: Path, device: torch.device) -> None:
    """Run one training step of `task` and log the findings; leave nothing in `folder`."""
    task.check_labels(listed.labels)
    with borrowed_manifest(cfg, folder) as manifest:
        videos = open_in_turn(listed, manifest, task.views())
    sampler = create_sampler(cfg, videos, 0)
    settings_of_run = derived_info(cfg, task, videos, sampler)
    settings = loop_settings_from_config(cfg, sampler.steps_per_epoch, sampler.end)
    schedule_from_config(cfg, sampler.steps_per_epoch)  # raises for an invalid schedule
    sampler.end = 1
    begin = time.perf_counter()
    (batch,) = create_loader(cfg, task.views(), videos, sampler)
    load_s = time.perf_counter() - begin
    work = _count_work(task, batch, device)  # first, since networks wrapped for training cannot be counted
    state = create_state(cfg, task, device)
    kept = KeptTensors([*task.parameters(), *task.buffers()])
    full = fails_when_full(lambda: "dry run", training_advice(cfg))
    with full, _watched_shapes(task) as shapes, kept.counted():
        begin = time.perf_counter()
        terms = train_step(state, batch.to(device), sampler, settings)
        numbers = {name: float(value) for name, value in terms.scalars.items()}
        step_s = time.perf_counter() - begin
    logger.info(
        "modules with their number of parameters and last output for the batch of this process\n%s",
        _modules(task, shapes),
    )
    logger.info("%s", batch)
    logger.info("GMACs of one clip, forward, counted by fvcore\n%s", work)
    logger.info("training\n%s", start_table(cfg, task, settings_of_run, device))
    logger.info("one step: %s", ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
    logger.info("%s", _expected_memory(task, state.optimizer, kept, batch))
    logger.info("%.1f s to load the batch, %.1f s for this first step; %s", load_s, step_s, _peak_memory(device))
    logger.info("dry run: nothing was written to %s", folder)


@contextlib.contextmanager
def borrowed_manifest(cfg: CfgNode, folder: Path) -> Iterator[Path]:
    """Yield the manifest of DATA.MANIFEST, or a temporary copy of the folder's, the same for all processes.

    The copy is saved where the run would write, so that processes of other machines find it too: in the folder, or in
    its nearest existing parent. It is removed afterwards.

    Raises:
        UsageError: The copy cannot be written; raised on all processes.
    """
    path = manifest_path(cfg, folder)
    if cfg.DATA.MANIFEST:
        yield path
        return
    parent = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    copy_folder, failure = "", ""
    with contextlib.ExitStack() as stack:
        if is_main():
            try:
                copy_folder = str(stack.enter_context(temporary_folder(parent, f".{folder.name}_dry_run_")))
            except OSError as error:
                failure = f"OUTPUT_DIR {folder}: {parent} cannot be written ({error.strerror or error})"
        if failure := from_main(failure):
            raise UsageError(failure)
        temporary = Path(from_main(copy_folder)) / path.name
        if is_main() and path.is_file():
            shutil.copyfile(path, temporary)
        yield temporary
        barrier()  # other processes read it after the main one


@torch.no_grad()
def _count_work(task: Task, batch: Batch, device: torch.device) -> str:
    """Return the multiply-adds of each encoder for the first clip, and the operations without a count."""
    lines = []
    for name, encoder in task.encoders().items():
        views: list[Tensor] = list({"video": batch.video, "audio": batch.audio}.get(name, {}).values())
        if not views:
            continue
        clip = views[0][:1].to(device)
        analysis = FlopCountAnalysis(encoder.to(device).eval(), clip)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        counts = analysis.by_module()
        parts = ", ".join(f"{part} {counts[part] / 1e9:.4g}" for part, _ in encoder.named_children() if counts[part])
        lines.append(f"  {name} {describe(clip)}: {counts[''] / 1e9:.4g} ({parts})")
        missing = ", ".join(sorted(op.removeprefix("aten::") for op in analysis.unsupported_ops()))
        lines.append(f"    not counted: {missing or 'nothing'}")
    return "\n".join(lines) or "  the task has no encoder"


@contextlib.contextmanager
def _watched_shapes(task: Task) -> Iterator[Shapes]:
    """Fill a dictionary with the shape of the last output of every module of a task."""
    shapes: Shapes = {}

    def note(name: str, result: object) -> None:
        parts = result if isinstance(result, list) else [result]  # a trunk may give several maps
        shapes[name] = " + ".join(describe(one) if isinstance(one, Tensor) else type(one).__name__ for one in parts)

    hooks = []
    for name, part in task.named_children():
        hooks.append(part.register_forward_hook(lambda _, __, result, name=name: note(name, result)))
        if isinstance(part, Pooling):
            _watch_tokens(name, part, note)
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()
        for part in task.children():
            part.__dict__.pop("pool_tokens", None)


def _watch_tokens(name: str, pool: Pooling, note: Callable[[str, object], None]) -> None:
    # A pooling head is mostly called through pool_tokens, which does not trigger forward hooks.
    original = pool.pool_tokens

    def pool_tokens(tokens: Tensor) -> Tensor:
        result = original(tokens)
        note(name, result)
        return result

    pool.__dict__["pool_tokens"] = pool_tokens


def _modules(task: Task, shapes: Shapes) -> str:
    rows = [(name, _size(part), shapes.get(name, "not called")) for name, part in task.named_children()]
    rows = [row for row in rows if row[1]] + [("all", _size(task), "")]
    return "\n".join(f"  {name:<14} {size:>13,}  {shape}".rstrip() for name, size, shape in rows)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _expected_memory(task: Task, optimizer: Optimizer, kept: KeptTensors, batch: Batch) -> str:
    parts = {
        "weights": bytes_of([*task.parameters(), *task.buffers()]),
        "gradients": bytes_of(parameter.grad for parameter in task.parameters()),
        "optimizer": optimizer_bytes(optimizer),
        "kept for the backward pass": kept.peak,
        "batch": bytes_of([*batch.video.values(), *batch.audio.values()]),
    }
    described = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in parts.items())
    total = sum(parts.values()) / 2**20
    return f"expected memory of this process in MB: {described}; total {total:.1f}, plus libraries"


def _peak_memory(device: torch.device) -> str:
    if device.type == "cuda":
        used, held = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
        name = torch.cuda.get_device_name(device)
        return f"measured peak on {name}: {used / 2**20:.0f} MB ({held / 2**20:.0f} MB reserved)"
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"measured peak of this process on the CPU, libraries included: {peak_mb:.0f} MB"
