"""The example methods: their losses against written-out versions, and what learns in them."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_task import AUDIO_RATE_HZ, CHANNELS, FPS, FRAMES, SIZE, create_trunk
from torch import Tensor, nn

from stica_pv.config.keys import TABLE
from stica_pv.models import AveragePool, create_audio_resnet9, create_projection_head
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, Embeddings, StepKeys
from stica_pv.tasks import AudioEncoder, ClipSettings, VideoEncoder
from stica_pv.tasks.stica.av_params import VIEWS
from stica_pv.transforms import ColorSettings, RandomResizedCrop, create_log_mel

METHODS = Path(__file__).resolve().parents[2] / "examples" / "methods"
NAMES = ("crop_byol", "masked_audio", "vicreg")
crop_byol: Any = None  # these are set by the fixture
masked_audio: Any = None
vicreg: Any = None

CLIP = ClipSettings(FRAMES, FPS, SIZE, AUDIO_RATE_HZ, RandomResizedCrop())
ROWS, DIM = 4, 6


def forget() -> None:
    """Undoes the imports, which declare keys and register tasks."""
    for name in NAMES:
        sys.modules.pop(name, None)
        TASKS._obj_map.pop(name, None)
        TABLE.tasks.pop(name, None)
        for key in [key for key, declared in TABLE.keys.items() if declared.component == name]:
            del TABLE.keys[key]


@pytest.fixture(scope="module", autouse=True)
def modules_on_the_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(METHODS)
        forget()
        globals().update({name: importlib.import_module(name) for name in NAMES})
        yield
    forget()


def head(in_dim: int) -> nn.Module:
    return create_projection_head(in_dim=in_dim, hidden_dim=5, out_dim=DIM, dropout=0)


def video_encoder() -> VideoEncoder:
    color = ColorSettings()
    return VideoEncoder(create_trunk(), AveragePool(CHANNELS), color.mean, color.std, head(CHANNELS))


def audio_parts() -> dict[str, Any]:
    log_mel = create_log_mel(sample_rate_hz=AUDIO_RATE_HZ, bands=16, fft_size=512)
    return {"log_mel": log_mel, "tower": create_audio_resnet9(width=2), "head": head(16)}


def batch_of(views: tuple[str, ...], audio: str | None) -> Batch:
    rng = torch.Generator().manual_seed(0)
    shape = (ROWS, 3, FRAMES, SIZE, SIZE)
    video = {name: torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for name in views}
    samples = torch.rand(ROWS, round(FRAMES / FPS * AUDIO_RATE_HZ), generator=rng) * 2 - 1
    waveforms = {audio: samples} if audio else {}
    return Batch(video, waveforms, {name: torch.ones(ROWS) for name in waveforms}, torch.arange(ROWS))


def step(task: Any, batch: Batch, number: int = 0) -> Any:
    params = task.sample_params(StepKeys(0, number, 0, tuple(range(ROWS))))
    return task(batch, params)


def make_vicreg() -> Any:
    torch.manual_seed(0)
    return vicreg.VICReg(
        clip=CLIP,
        color=ColorSettings(),
        volume_jitter=0.1,
        video=video_encoder(),
        audio=AudioEncoder(**audio_parts()),
        weights=(25.0, 25.0, 1.0),
    )


def make_byol(**changes: Any) -> Any:
    torch.manual_seed(0)
    return crop_byol.CropBYOL(
        clip=CLIP,
        color=ColorSettings(),
        video=video_encoder(),
        audio=AudioEncoder(**audio_parts()),
        predictor=head(DIM),
        **changes,
    )


def make_masked(weight: float = 1.0) -> Any:
    torch.manual_seed(0)
    return masked_audio.MaskedAudio(
        clip=CLIP,
        color=ColorSettings(),
        video=video_encoder(),
        audio=AudioEncoder(**audio_parts()),
        decoder_dim=8,
        mask_ratio=0.75,
        weight=weight,
        temperature=0.1,
    )


def written_out_vicreg(video: Tensor, audio: Tensor) -> float:
    rows, columns = video.shape
    total = (
        25 * sum(float((video[r, c] - audio[r, c]) ** 2) for r in range(rows) for c in range(columns)) / rows / columns
    )
    for z in (video, audio):
        covariance = torch.cov(z.T)
        hinge = sum(max(0.0, 1 - float(covariance[c, c] + 1e-4) ** 0.5) for c in range(columns)) / columns
        off = sum(float(covariance[a, b]) ** 2 for a in range(columns) for b in range(columns) if a != b) / columns
        total += 25 * hinge / 2 + off
    return total


def test_vicreg_equals_the_written_out_loss():
    rng = torch.Generator().manual_seed(1)
    video, audio = (torch.randn(5, DIM, generator=rng, dtype=torch.float64) for _ in range(2))
    rows: Embeddings = {"video": video.unsqueeze(0), "audio": audio.unsqueeze(0)}
    found = make_vicreg().loss(rows, rows, rank_offset=0).total
    assert found.item() == pytest.approx(written_out_vicreg(video, audio), rel=1e-10)


def test_the_mean_of_vicreg_over_ranks_is_the_loss_of_one_process():
    rng = torch.Generator().manual_seed(1)
    everything = {name: torch.randn(1, 8, DIM, generator=rng, dtype=torch.float64) for name in ("video", "audio")}
    task = make_vicreg()
    parts = [{name: rows[:, start : start + 2] for name, rows in everything.items()} for start in range(0, 8, 2)]
    losses = [task.loss(part, everything, rank_offset=2 * n).total.item() for n, part in enumerate(parts)]
    assert sum(losses) / 4 == pytest.approx(task.loss(everything, everything, rank_offset=0).total.item(), rel=1e-12)


def test_every_parameter_of_vicreg_learns():
    task = make_vicreg()
    step(task, batch_of(("clip",), "clip")).total.backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in task.parameters())


def test_only_the_student_of_byol_learns_and_the_teacher_is_its_moving_average():
    task = make_byol(momentum=0.9)
    step(task, batch_of(VIEWS, VIEWS[0])).total.backward()
    assert all(p.grad is not None for module in (task.student, task.predictor) for p in module.parameters())
    assert all(p.grad is None and not p.requires_grad for p in task.teacher.parameters())
    student, teacher = task.student.backbone[0].weight, task.teacher.backbone[0].weight
    before = teacher.detach().clone()
    with torch.no_grad():
        student.add_(1.0)
    task.after_step(0, 10)  # τ is 0.9 at the first step, 1 at the last
    torch.testing.assert_close(teacher, 0.9 * before + 0.1 * student)
    between = teacher.detach().clone()
    task.after_step(10, 10)
    torch.testing.assert_close(teacher, between)


def test_byol_pairs_each_window_with_the_teachers_other_view():
    task = make_byol(windows=3)
    batch = batch_of(VIEWS, VIEWS[0])
    params = task.sample_params(StepKeys(0, 0, 0, tuple(range(ROWS))))
    inputs = task.prepare(batch, params)
    rows = task.embed(inputs, params)
    shapes = {name: tuple(value.shape) for name, value in rows.items()}
    assert shapes == {name: (n, ROWS, DIM) for name, n in zip(rows, (2, 1, 6, 6), strict=True)}
    with torch.no_grad():
        second = torch.nn.functional.normalize(task.teacher(inputs["view2"], "projected"), dim=-1)
    torch.testing.assert_close(rows["target"][0], second)
    torch.testing.assert_close(rows["target"][2], second)
    terms = task.loss(rows, rows, rank_offset=0)
    distance = (rows["predicted"] - rows["target"]).square().sum(-1).mean()
    torch.testing.assert_close(terms.scalars["loss_prediction"], distance)
    torch.testing.assert_close(terms.total, (distance + terms.scalars["loss_contrast"]) / 2)


def test_the_mask_hides_its_share_and_differs_by_sample():
    task = make_masked()
    params = task.sample_params(StepKeys(0, 0, 0, tuple(range(ROWS))))
    assert params.hidden.sum(dim=1).tolist() == [round(0.75 * task.patches + 0.49)] * ROWS
    assert len({tuple(row.tolist()) for row in params.hidden}) == ROWS


def test_the_error_ignores_visible_patches_and_the_decoder_does_not_see_hidden_ones():
    decoder = make_masked().decoder
    rng = torch.Generator().manual_seed(0)
    patches = torch.randn(1, decoder.positions.shape[0] - 4, 64, generator=rng)
    hidden = torch.zeros(patches.shape[:2], dtype=torch.bool)
    hidden[:, 0] = True
    video = torch.randn(1, 4, CHANNELS, generator=rng)
    changed = patches.clone()
    changed[:, 0] += 1
    torch.testing.assert_close(decoder(patches, hidden, video), decoder(changed, hidden, video))
    changed[:, 1] += 1
    assert (decoder(patches, hidden, video) - decoder(changed, hidden, video)).abs().max() > 1e-4


def test_the_video_learns_from_the_reconstruction_alone():
    task = make_masked()
    batch = batch_of(("clip",), "clip")
    params = task.sample_params(StepKeys(0, 0, 0, tuple(range(ROWS))))
    error = task.embed(task.prepare(batch, params), params)["error"]
    assert error.shape == (1, ROWS, 1)
    error.mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in task.video.backbone.parameters())


def test_the_local_error_is_not_gathered(monkeypatch: pytest.MonkeyPatch):
    task = make_masked()
    names: list[set[str]] = []
    loss = task.loss

    def watch(local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> Any:
        names.append(set(gathered))
        return loss(local, gathered, rank_offset=rank_offset)

    monkeypatch.setattr(task, "loss", watch)
    step(task, batch_of(("clip",), "clip"))
    assert names == [{"video", "audio"}]
