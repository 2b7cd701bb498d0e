"""The batch that a person is shown is the one that training takes, and what is said of it is true."""

import os
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny_cfg

from stica_pv.data.manifest.videos import list_from_config, open_in_turn
from stica_pv.engine.build_task import create_task
from stica_pv.engine.loaders import create_loader, create_sampler
from stica_pv.errors import UsageError
from stica_pv.report.inspected_step import InspectedStep, inspect_step
from stica_pv.structures import StepKeys
from stica_pv.tasks import Task
from stica_pv.transforms import apply_box

STEP = 4  # of the second epoch: 12 clips are three batches
TASKS = {
    "av_contrastive": {"CROP__PER_SAMPLE": True},
    "gdt": {"GDT__HYPOTHESIS": "h9", "DATA__NUM_FRAMES": 4},
    "cvrl": {"HEAD__DROPOUT": 0.0},
    "brave": {"BRAVE__BROAD": "['video','audio']", "BRAVE__BROAD_FRAMES": 8, "BRAVE__BROAD_FPS": 4.0,
              "BRAVE__BROAD_CROP_SIZE": 32, "BRAVE__PREDICTOR_DIM": 8, "HEAD__DROPOUT": 0.0,
              "AUDIO__SAMPLE_RATE": 16000},
    "classification": {"MODEL__NUM_CLASSES": 3},
}  # fmt: skip


def clip_format(
    clips: Path, folder: Path, task_name: str, shown: int = 2
) -> tuple[InspectedStep, Task, dict[str, torch.Tensor]]:
    """Returns what a person sees of a step, and the inputs of the whole batch as training makes them."""
    cfg = tiny_cfg(clips, folder, TASK=task_name, **TASKS[task_name])
    task = create_task(cfg)
    inspected = inspect_step(cfg, task, folder, step=STEP, clips=shown, run_networks=True)
    listed = list_from_config(cfg, dataset="csv", split="train")
    videos = open_in_turn(listed, folder / "manifest.csv", task.views())
    sampler = create_sampler(cfg, videos, STEP)
    batch = next(iter(create_loader(cfg, task.views(), videos, sampler)))
    keys = StepKeys(cfg.RNG_SEED, STEP, sampler.epoch_of(STEP), sampler.local_indices(STEP))
    assert torch.equal(batch.index[:shown], inspected.batch.index)
    for mine, theirs in ((inspected.batch.video, batch.video), (inspected.batch.audio, batch.audio)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[view], theirs[view][:shown]) for view in mine)  # exact: copied, not calculated
    with torch.no_grad():
        return inspected, task, task.prepare(batch, task.sample_params(keys))


@pytest.mark.parametrize(
    ("task_name", "comparisons"),
    [("av_contrastive", 26), ("gdt", 11), ("cvrl", 1), ("brave", 4), ("classification", 0)],
)
def test_the_clips_shown_are_those_of_training(task_name: str, comparisons: int, clips_folder: Path, tmp_path: Path):
    inspected, task, inputs = clip_format(clips_folder, tmp_path, task_name)
    assert inspected.inputs.keys() == inputs.keys()
    for name, value in inputs.items():  # calculated here in a larger batch
        torch.testing.assert_close(value[:2], inspected.inputs[name], rtol=1e-5, atol=1e-5)
    assert task.training
    shown = {name for name, value in inputs.items() if value.ndim > 2}
    assert set(inspected.notes) == shown
    for name, note in inspected.notes.items():
        assert len(note.changes) == 2, name
        spec = next(spec for spec in inspected.views.specs if spec.name == note.view)
        assert spec.frames if inputs[name].ndim == 5 else spec.audio is not None, name
    assert len(inspected.comparisons) == comparisons
    for one in inspected.comparisons:
        assert one.similarity.shape == (2, 2)
        assert float(one.similarity.abs().max()) <= 1 + 1e-5


def test_boxes_windows_and_times_are_those_of_the_clips_shown(clips_folder: Path, tmp_path: Path):
    inspected, _, _ = clip_format(clips_folder, tmp_path, "av_contrastive")
    for sample, sampled in enumerate(inspected.sampled):
        assert Path(sampled.path).name == inspected.names[sample]
        window, clip = sampled.windows["clip"], sampled.clips["clip"]
        assert float((clip.frame_times_s[0] - window.start_s).abs()) <= 0.5 / 12
        for spec in inspected.views.specs:
            box = sampled.boxes[spec.name]
            # exact: integers
            assert torch.equal(apply_box(clip.frames, box, 32, True), inspected.batch.video[spec.name][sample])


def test_networks_state_attention_and_every_comparison_of_the_loss(clips_folder: Path, tmp_path: Path):
    inspected, task, _ = clip_format(clips_folder, tmp_path, "av_contrastive")
    assert set(inspected.attention) == {"view1", "view2"}
    torch.testing.assert_close(inspected.attention["view1"].sum(-1), torch.ones(2, 2))
    names = [(one.query, one.key) for one in inspected.comparisons]
    assert len(names) == len(task.table.terms) + 2
    assert ("view1, small space 4", "view2, large space 1") in names
    assert names[-2:] == [("view1, whole map", "audio"), ("view2, whole map", "audio")]
    task.eval()
    with torch.no_grad():
        rows = task.embed(
            inspected.inputs, task.sample_params(StepKeys(0, STEP, 1, tuple(key.index for key in inspected.keys)))
        )
    positions = dict(zip(names, zip(task.table.terms.queries, task.table.terms.keys, strict=True), strict=False))
    for one in inspected.comparisons[:-2]:
        query, key = positions[one.query, one.key]
        own = torch.stack([rows["windows"][query][i] @ rows["windows"][key][i] for i in range(2)])
        torch.testing.assert_close(one.similarity.diagonal(), own)


def test_a_replaced_file_is_named(clips_folder: Path, tmp_path: Path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in clips_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    cfg = tiny_cfg(folder, tmp_path, TASK="cvrl", **TASKS["cvrl"])
    first = inspect_step(cfg, create_task(cfg), tmp_path, step=0, clips=1)
    broken = folder / first.names[0]
    content = bytearray(broken.read_bytes())
    start, end = content.index(b"mdat") + 4, content.rindex(b"moov") - 4
    content[start:end] = bytes(end - start)
    times = broken.stat()
    broken.write_bytes(bytes(content))
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
    inspected = inspect_step(cfg, create_task(cfg), tmp_path, step=0, clips=1)
    assert int(inspected.batch.index[0]) != inspected.keys[0].index
    assert inspected.batch.failures[0].path.endswith(first.names[0])
    assert Path(inspected.sampled[0].path).name == inspected.names[0] != first.names[0]


def test_a_step_beyond_the_run_is_refused(clips_folder: Path, tmp_path: Path):
    cfg = tiny_cfg(clips_folder, tmp_path)
    with pytest.raises(UsageError, match="--step: expected 0 to 5, got 6"):
        inspect_step(cfg, create_task(cfg), tmp_path, step=6, clips=1)
