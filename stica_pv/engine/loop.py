"""The training loop. It counts steps and knows no method; it uses only the contract of tasks."""

import datetime
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stica_pv.distributed import HEARTBEAT, barrier, from_main, is_main, join, largest, rank
from stica_pv.engine.batch_stream import ReportFailures, fail_without_batch, next_batches
from stica_pv.engine.health import check_losses, check_weights
from stica_pv.engine.meter import Clock, Meter
from stica_pv.engine.optimizer import set_lr
from stica_pv.engine.records import Records
from stica_pv.engine.schedule import Schedule
from stica_pv.engine.signals import SignalRequest, Signals, signals_in_steps, stopping_signal
from stica_pv.errors import RunStopped
from stica_pv.keyed_random import seed_of
from stica_pv.metrics import MONITORS
from stica_pv.progress import SHOWN_BY_BAR, Progress
from stica_pv.structures import Batch, LossTerms, StepKeys

logger = logging.getLogger(__name__)

NOT_SHOWN = ("grad_norm", *MONITORS)  # recorded, but not in the lines of the log

AtEpochEnd = Callable[[int], dict[str, float]]
"""(number of epochs done) -> numbers to record, none if there are none. Called on every process."""


class Order(Protocol):
    """Methods of the sampler that the loop uses."""

    @property
    def batch_size(self) -> int: ...  # noqa: D102 - a protocol's members
    @property
    def steps_per_epoch(self) -> int: ...  # noqa: D102

    def epoch_of(self, step: int) -> int: ...  # noqa: D102
    def local_indices(self, step: int) -> tuple[int, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop.

    Attributes:
        seed: Seed of the run.
        total_steps: Steps after which it ends.
        log_period: Steps between logged ones.
        checkpoint_steps: Steps between checkpoints.
        checkpoint_minutes: Longest time between checkpoints.
        clip_grad: Largest gradient norm; 0 for no clipping.
        amp_dtype: Autocast type, or None for fp32.
    """

    seed: int
    total_steps: int
    log_period: int
    checkpoint_steps: int
    checkpoint_minutes: float
    clip_grad: float = 0.0
    amp_dtype: torch.dtype | None = None


@dataclass
class TrainState:
    """All that changes in a run.

    Attributes:
        model: Called as ``model(batch, params)``: the task, its wrapper for several processes, or a `CachedModel`.
        sample_params: Method `Task.sample_params` of the task.
        optimizer: The optimizer.
        scaler: Loss scaler; does nothing unless the autocast type is fp16.
        meter: Averages since the last logged step.
        parameters: Parameters of the optimizer.
        finish_backward: Called after the backward pass; completes the gradients if the model is a `CachedModel`.
        step: Steps done.
    """

    model: Callable[[Batch, Any], LossTerms]
    sample_params: Callable[[StepKeys], Any]
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    meter: Meter
    parameters: Sequence[nn.Parameter]
    finish_backward: Callable[[], None] = lambda: None
    step: int = 0


def train(
    state: TrainState,
    batches: Iterable[Batch],
    order: Order,
    schedule: Schedule,
    settings: LoopSettings,
    *,
    device: torch.device,
    records: Records | None,
    save: Callable[[TrainState], None],
    report_failures: ReportFailures,
    name_samples: Callable[[int], Sequence[str]] = lambda step: (),
    after_step: Callable[[int], None] = lambda step: None,
    at_epoch_end: AtEpochEnd | None = None,
) -> None:
    """Trains from ``state.step`` to the end.

    Args:
        state: Changed in place.
        batches: Yields the batches of the steps to do.
        order: Names the samples of a step.
        schedule: Learning rate by step.
        settings: Settings of the loop.
        device: Device of the model.
        records: Records of logged steps; None on all processes but the main one.
        save: Writes a checkpoint.
        report_failures: Called with the step and the files that could not be read.
        name_samples: Returns the names of the samples of this process in a step, for error messages.
        after_step: Called after each step with the number of steps done.
        at_epoch_end: Called after the checkpoint of an epoch, or on a resume; must not change the state.

    Raises:
        RunStopped: A signal asked to stop; the last step is saved.
        RunFailed, UnreadableClip, UsageError: A number is not finite, or there is no next batch.
    """
    with signals_in_steps() as signals, HEARTBEAT.expected(), _progress(state, settings, records) as progress:
        clock, saved_at, saved_step = Clock(device), time.monotonic(), state.step
        stream = next_batches(batches, clock, lambda failures: report_failures(state.step, failures))
        while True:
            following = next(stream)  # before the last step is saved: all processes learn whether one has no batch
            agreed = _agree(signals, state.step, time.monotonic() - saved_at, settings, following.error)
            if agreed.save and state.step > saved_step:
                _save(state, save, name_samples)
                saved_at, saved_step = time.monotonic(), state.step
            if agreed.failed:
                fail_without_batch(following.error)
            if agreed.request >= SignalRequest.STOP:
                barrier()  # no process ends while the main one writes
                raise _stopped(state.step)
            _end_epoch(state.step, order, records, at_epoch_end)
            if following.batch is None:
                return
            lr = schedule(state.step)
            _advance(state, following.batch.to(device, non_blocking=True), lr, order, settings)
            clock.step_done()
            progress.add()
            after_step(state.step)
            if state.step % settings.log_period == 0 or state.step == settings.total_steps:
                check_losses(state.meter, state.step - 1, name_samples)
                _log(state, clock, lr, order, settings, records, progress)


def _progress(state: TrainState, settings: LoopSettings, records: Records | None) -> Progress:
    """Returns the bar of the main process; the lines of logged steps say more than its own."""
    return Progress(
        "training",
        settings.total_steps,
        unit="steps",
        initial=state.step,
        shown=records is not None,
        lines=False,
        delay_s=0.0,
    )


def _advance(state: TrainState, batch: Batch, lr: float, order: Order, settings: LoopSettings) -> None:
    set_lr(state.optimizer, lr)
    terms = train_step(state, batch, order, settings)
    state.meter.add(state.step, terms.scalars, watch_gradients=not state.scaler.is_enabled())
    state.step += 1
    HEARTBEAT.record(state.step)


def train_step(state: TrainState, batch: Batch, order: Order, settings: LoopSettings) -> LossTerms:
    """Runs a batch forward and backward and updates the parameters; the caller counts the step."""
    keys = StepKeys(settings.seed, state.step, order.epoch_of(state.step), order.local_indices(state.step))
    device = batch.index.device
    params = state.sample_params(keys).to(device)
    torch.manual_seed(seed_of("dropout", settings.seed, state.step, rank()))
    with torch.autocast(device.type, dtype=settings.amp_dtype, enabled=settings.amp_dtype is not None):
        terms: LossTerms = state.model(batch, params)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(terms.total).backward()
    state.finish_backward()
    state.scaler.unscale_(state.optimizer)
    norm = _clip(state.parameters, settings.clip_grad)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return LossTerms(terms.total, {**terms.scalars, "grad_norm": norm})


def _clip(learned: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    parameters = [p for p in learned if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if max_norm > 0:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return join(norm.detach())


def _stopped(step: int) -> RunStopped:
    logger.info("stopped by a signal after step %d; the same command continues", step)
    text = f"training was interrupted after step {step}; the same command continues it"
    return RunStopped(text, stopping_signal())


def _save(state: TrainState, save: Callable[[TrainState], None], name_samples: Callable[[int], Sequence[str]]) -> None:
    check_losses(state.meter, state.step - 1, name_samples)
    check_weights(state.parameters, state.step)
    state.meter.share()
    save(state)


def _end_epoch(step: int, order: Order, records: Records | None, at_epoch_end: AtEpochEnd | None) -> None:
    """Records the numbers of the end of an epoch, unless an earlier attempt of the run has done so."""
    if at_epoch_end is None or step == 0 or step % order.steps_per_epoch:
        return
    if from_main("recorded" if records is not None and step in records.recorded else ""):
        return
    HEARTBEAT.pause()  # this may take any time
    epoch = step // order.steps_per_epoch
    numbers = at_epoch_end(epoch)
    HEARTBEAT.record(step)
    if records is not None and numbers:
        records.write_epoch(step, epoch, numbers)
        text = "  ".join(f"{name} {value:.1f}" for name, value in numbers.items())
        logger.info("epoch %d  %s", epoch, text)


class _Agreed(NamedTuple):
    """Decision of all processes after a step: largest request, whether to save, whether one of them has no batch."""

    request: SignalRequest
    save: bool
    failed: bool


def _agree(signals: Signals, step: int, unsaved_s: float, settings: LoopSettings, error: Exception | None) -> _Agreed:
    """Combines requests, due checkpoints and errors of all processes; called by all at each step."""
    late = unsaved_s > 60 * settings.checkpoint_minutes
    due = late or step % settings.checkpoint_steps == 0 or step == settings.total_steps
    request, save, failed, number = largest((signals.request, due, error is not None, signals.number))
    answer = signals.answer(request, number)
    return _Agreed(answer, bool(answer or save or failed), bool(failed))


def _log(
    state: TrainState,
    clock: Clock,
    lr: float,
    order: Order,
    settings: LoopSettings,
    records: Records | None,
    progress: Progress,
) -> None:
    means = state.meter.take_means()
    timings = clock.take_timings(order.batch_size)
    if not is_main() or records is None:
        return
    epoch = state.step / order.steps_per_epoch
    records.write(state.step, {"epoch": epoch, "lr": lr, **means}, timings)
    left = datetime.timedelta(seconds=round((settings.total_steps - state.step) * timings["step_time"]))
    terms = "  ".join(f"{name} {value:.3f}" for name, value in means.items() if not name.startswith(NOT_SHOWN))
    logger.info(
        "step %d/%d  left %s  data wait %.0f%%  %.1f samples/s  %s  lr %.2g  epoch %.2f",
        *(state.step, settings.total_steps, left, 100 * timings["data_share"], timings["samples_per_second"]),
        *(terms, lr, epoch),
        extra=SHOWN_BY_BAR,
    )
    progress.note(f"{terms}  data wait {100 * timings['data_share']:.0f}%  epoch {epoch:.2f}")
