import functools
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_task import ToyTask

from stica_pv.data.decoding.reader import read
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.engine import LoopSettings, Meter, Records, TrainState, create_optimizer, read_metrics, train
from stica_pv.engine.records import STATS
from stica_pv.errors import LoaderFailed, RunFailed, RunStopped, UnreadableClip
from stica_pv.structures import AudioSpec, Batch, LossTerms, ReadFailure, StepKeys, Views, ViewSpec, Window
from stica_pv.tasks import ParameterGroup
from stica_pv.transforms import RandomResizedCrop

CPU = torch.device("cpu")


class Net(nn.Module):
    """(w·x)² with dropout; `poison` maps a step to what its loss is multiplied by."""

    def __init__(self, poison: dict[int, float] | None = None) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        self.poison = poison or {}
        self.saw_autocast: list[tuple[bool, torch.dtype]] = []

    def forward(self, batch: Batch, params: "NoParams") -> LossTerms:
        self.saw_autocast.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        x = nn.functional.dropout(batch.audio["a"], 0.5)
        loss = (x * self.w).square().mean() * self.poison.get(params.keys.step, 1.0)
        return LossTerms(loss, {"loss": loss.detach()})


@dataclass(frozen=True)
class NoParams:
    keys: StepKeys

    def to(self, device: torch.device) -> "NoParams":
        return self


@dataclass
class Trial:
    """A run of `Net` on 8 samples in batches of 2, and the calls of the loop."""

    poison: dict[int, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    saved: list[int] = field(default_factory=list)
    keys: list[StepKeys] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    failures: list[tuple[int, tuple[ReadFailure, ...]]] = field(default_factory=list)
    stop_after: int = -1
    save_s: float = 0.0
    hooked: bool = False
    ended: list[int] = field(default_factory=list)
    dies_after_epoch: int = -1
    fails_at: dict[int, Exception] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.net = Net(self.poison)
        self.optimizer = create_optimizer([ParameterGroup("all", tuple(self.net.parameters()))], method="sgd")
        self.scaler = torch.amp.GradScaler("cpu", enabled=self.settings.get("amp_dtype") is torch.float16)
        self.state = TrainState(
            self.net, self.sample_params, self.optimizer, self.scaler, Meter(CPU), list(self.net.parameters())
        )

    def sample_params(self, keys: StepKeys) -> NoParams:
        self.keys.append(keys)
        return NoParams(keys)

    def report(self, step: int, failures: tuple[ReadFailure, ...]) -> None:
        self.failures.append((step, failures))
        if step == self.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def save(self, state: TrainState) -> None:
        time.sleep(self.save_s)
        self.saved.append(state.step)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        self.ended.append(epoch)
        if epoch == self.dies_after_epoch:
            self.dies_after_epoch = -1
            raise InterruptedError("the power fails")
        return {"weight": float(self.net.w.detach().sum())} if epoch % 2 else {}

    def schedule(self, step: int) -> float:
        self.rates.append(0.01 * (step + 1))
        return self.rates[-1]

    def run(self, steps: int, folder: Path | None = None) -> None:
        order = StepSampler(8, batch_size=2, seed=3, start=self.state.step, end=steps)
        settings = {"log_period": 1, "checkpoint_steps": 4, "checkpoint_minutes": 99.0, **self.settings}
        records = Records(folder, resume_step=self.state.step) if folder else None
        train(
            self.state,
            batches(order, self.fails_at),
            order,
            self.schedule,
            LoopSettings(seed=3, total_steps=steps, **settings),
            device=CPU,
            records=records,
            save=self.save,
            report_failures=self.report,
            at_epoch_end=self.end_epoch if self.hooked else None,
        )


def batches(order: StepSampler, fails_at: dict[int, Exception]) -> Iterator[Batch]:
    for step, keys in enumerate(order, start=order.start):
        if step in fails_at:
            raise fails_at[step]
        index = torch.tensor([key.index for key in keys])
        audio = torch.stack([torch.arange(3.0) + i for i in index.tolist()]) / 8
        failures = (ReadFailure("a.mp4", "torn"),) if step == 1 else ()
        yield Batch({}, {"a": audio}, {"a": torch.ones(2)}, index, None, failures)


def test_steps_epochs_rates_and_checkpoints_are_counted_from_the_start():
    trial = Trial()
    trial.run(6)
    assert [(key.step, key.epoch) for key in trial.keys] == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]
    assert sorted(index for key in trial.keys[:4] for index in key.indices) == list(range(8))
    assert trial.rates == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    assert trial.optimizer.param_groups[0]["lr"] == trial.rates[-1]
    assert trial.saved == [4, 6]


def test_files_that_failed_are_reported_with_their_step():
    trial = Trial()
    trial.run(3)
    assert trial.failures == [(0, ()), (1, (ReadFailure("a.mp4", "torn"),)), (2, ())]


def test_logged_numbers_are_means_over_the_period(tmp_path: Path):
    each, pairs = Trial(), Trial(settings={"log_period": 2})
    each.run(5, tmp_path / "each")
    pairs.run(5, tmp_path / "pairs")
    losses = [line["loss"] for line in read_metrics(tmp_path / "each")]
    lines = read_metrics(tmp_path / "pairs")
    assert [(line["step"], line["epoch"]) for line in lines] == [(2, 0.5), (4, 1.0), (5, 1.25)]
    assert [line["loss"] for line in lines] == pytest.approx(
        [(losses[0] + losses[1]) / 2, (losses[2] + losses[3]) / 2, losses[4]]
    )


def test_a_run_taken_up_again_is_the_uninterrupted_one_with_dropout_and_momentum(tmp_path: Path):
    straight, first = Trial(), Trial()
    straight.run(6)
    first.run(4)
    second = Trial()
    second.net.load_state_dict(first.net.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.state.step = 4
    torch.rand(7)  # what was drawn in between makes no difference
    second.run(6)
    assert torch.equal(second.net.w, straight.net.w)  # exact: the same code with the same shapes, interrupted or not
    assert second.keys == straight.keys[4:]


def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint():
    trial = Trial(stop_after=2)  # while the batch after two steps is waited for
    with pytest.raises(RunStopped, match="after step 2; the same command continues it") as stopped:
        trial.run(6)
    assert stopped.value.number == signal.SIGTERM
    assert trial.state.step == 2
    assert trial.saved == [2]
    trial.stop_after = -1
    trial.run(6)
    assert trial.saved == [2, 4, 6]


@pytest.mark.parametrize("error", [LoaderFailed("a worker is gone"), UnreadableClip("a.mp4", "torn")], ids=repr)
def test_a_loader_that_fails_ends_the_run_with_a_checkpoint_of_its_last_step(error: Exception):
    straight, trial = Trial(), Trial(fails_at={3: error})
    straight.run(6)
    with pytest.raises(type(error), match=str(error)):
        trial.run(6)
    assert trial.saved == [3]
    trial.fails_at = {}
    trial.run(6)
    assert trial.saved == [3, 4, 6]
    # exact: the same steps of the same code
    assert torch.equal(trial.net.w, straight.net.w)


def test_a_loader_that_fails_at_once_leaves_no_checkpoint():
    trial = Trial(fails_at={0: LoaderFailed("a worker is gone")})
    with pytest.raises(LoaderFailed):
        trial.run(6)
    assert trial.saved == []


def test_too_many_bad_files_end_the_run_with_a_checkpoint_of_its_last_step(monkeypatch: pytest.MonkeyPatch):
    trial = Trial()

    def report(step: int, failures: tuple[ReadFailure, ...]) -> None:
        if step == 2:
            raise RunFailed("too many")

    monkeypatch.setattr(trial, "report", report)
    with pytest.raises(RunFailed, match="too many"):
        trial.run(6)
    assert trial.saved == [2]


def test_time_alone_can_ask_for_a_checkpoint():
    trial = Trial(settings={"checkpoint_minutes": -1.0})
    trial.run(3)
    assert trial.saved == [1, 2, 3]


def test_writing_a_checkpoint_is_no_wait_for_data(tmp_path: Path):
    Trial(save_s=0.5).run(5, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / STATS).read_text().splitlines()]
    assert lines[4]["step_time"] > 0.5  # that of step 4 was written between
    assert lines[4]["data_time"] < 0.25


def test_the_end_of_each_epoch_is_reported_after_its_checkpoint_and_recorded(tmp_path: Path):
    trial = Trial(hooked=True)
    trial.run(13, tmp_path)
    assert trial.ended == [1, 2, 3]
    lines = read_metrics(tmp_path)
    epoch_ends = [line for line in lines if "weight" in line]
    assert [(line["step"], line["epoch_end"]) for line in epoch_ends] == [(4, 1), (12, 3)]
    assert lines.index(epoch_ends[0]) == 4  # after the line of step 4
    assert all("loss" in line for line in lines if line not in epoch_ends)


@pytest.mark.parametrize("epoch", [1, 3])
def test_what_was_missed_at_the_end_of_an_epoch_is_made_up_for_on_a_resume(tmp_path: Path, epoch: int):
    straight, broken = Trial(hooked=True), Trial(hooked=True, dies_after_epoch=epoch)
    straight.run(12, tmp_path / "straight")
    with pytest.raises(InterruptedError):
        broken.run(12, tmp_path / "broken")
    assert broken.saved[-1] == broken.state.step == 4 * epoch  # the checkpoint was there
    for _ in range(2):  # a run that has ended asks no more
        broken.run(12, tmp_path / "broken")
    assert broken.ended == [*range(1, epoch + 1), *range(epoch, 4)]
    # exact: the same code with the same shapes, interrupted or not
    assert read_metrics(tmp_path / "broken") == read_metrics(tmp_path / "straight")


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("log_period", [1, 4, 100])
def test_a_loss_that_is_not_finite_ends_the_run_by_its_step_and_saves_nothing_more(poison: float, log_period: int):
    trial = Trial(poison={5: poison}, settings={"log_period": log_period})
    with pytest.raises(RunFailed, match="step 5 is not finite"):
        trial.run(9)
    assert trial.saved == [4]


def test_a_stop_after_a_bad_step_saves_nothing():
    trial = Trial(poison={1: math.nan}, settings={"log_period": 100}, stop_after=2)
    with pytest.raises(RunFailed, match="step 1"):
        trial.run(9)
    assert trial.saved == []


def test_gradients_are_cut_to_the_norm_and_logged_as_they_were(tmp_path: Path):
    free, cut = Trial(), Trial(settings={"clip_grad": 0.01})
    before: Tensor = free.net.w.detach().clone()
    free.run(1, tmp_path / "free")
    cut.run(1, tmp_path / "cut")
    assert float((before - cut.net.w.detach()).norm()) == pytest.approx(0.01 * 0.01, rel=1e-3)
    assert float((before - free.net.w.detach()).norm()) > 0.01 * 0.02
    assert read_metrics(tmp_path / "cut")[0]["grad_norm"] == read_metrics(tmp_path / "free")[0]["grad_norm"] > 0.02


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_the_model_runs_under_the_asked_precision(dtype: torch.dtype | None):
    trial = Trial(settings={"amp_dtype": dtype})
    trial.run(2)
    assert all(enabled is (dtype is not None) for enabled, _ in trial.net.saw_autocast)
    assert dtype is None or {received for _, received in trial.net.saw_autocast} == {dtype}
    assert bool(torch.isfinite(trial.net.w).all())


def test_an_overflow_of_fp16_gradients_skips_a_step_and_goes_on():
    trial = Trial(poison={1: 1e35}, settings={"amp_dtype": torch.float16})
    trial.run(4)
    assert bool(torch.isfinite(trial.net.w).all())
    assert trial.state.step == 4


CROP = RandomResizedCrop(area=(0.5, 1.0), aspect=(1.0, 1.0), flip_prob=0.5, antialias=True)
BRAVE = Views(
    specs=(
        ViewSpec("narrow", "narrow", frames=16, fps=12.5, size=224, transform=CROP),
        ViewSpec("broad", "broad", frames=64, fps=6.25, size=112, transform=CROP),
        ViewSpec("audio", "broad", frames=0, fps=0.0, size=0, transform=None, audio=AudioSpec(16000)),
    ),
    sample_windows=lambda seconds, rng: {"narrow": Window(0.0, 1.28), "broad": Window(0.0, 10.24, "loop")},
    min_seconds=1.28,
    needs_audio=True,
)


def test_views_of_another_method_pass_reader_collate_and_loop(clips_folder: Path, tmp_path: Path):
    received: list[tuple[Batch, StepKeys]] = []
    task = ToyTask(BRAVE, watch=lambda batch, keys: received.append((batch, keys)))
    paths = [str(path) for path in sorted(clips_folder.glob("*.mp4"))[:4]]
    dataset = ClipDataset(paths, [1.5] * 4, BRAVE, reader=functools.partial(read, short_size=0), seed=0)
    order = StepSampler(4, batch_size=2, seed=0, end=2)
    optimizer = create_optimizer(task.parameter_groups(), method="sgd")
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    state = TrainState(task, task.sample_params, optimizer, scaler, Meter(CPU), list(task.parameters()))
    before = {name: value.clone() for name, value in task.state_dict().items()}
    train(
        state,
        ClipLoader(dataset, order, num_workers=0),
        order,
        lambda step: 0.1,
        LoopSettings(seed=0, total_steps=2, log_period=1, checkpoint_steps=2, checkpoint_minutes=9.0),
        device=CPU,
        records=Records(tmp_path, resume_step=0),
        save=lambda state: None,
        report_failures=lambda step, failures: None,
    )
    batch, keys = received[-1]
    shapes = {name: tuple(view.shape) for name, view in (batch.video | batch.audio).items()}
    assert shapes == {"narrow": (2, 3, 16, 224, 224), "broad": (2, 3, 64, 112, 112), "audio": (2, 163840)}
    assert batch.audio_valid["audio"].tolist() == [1.0, 1.0]
    assert batch.index.tolist() == list(keys.indices)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]
    assert all(not torch.equal(value, before[name]) for name, value in task.state_dict().items())
