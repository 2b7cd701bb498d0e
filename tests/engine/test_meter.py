import pytest
import torch

from stica_pv.engine import Clock, Meter

CPU = torch.device("cpu")


def scalars(loss: float, norm: float = 1.0) -> dict[str, torch.Tensor]:
    return {"loss": torch.tensor(loss), "grad_norm": torch.tensor(norm)}


def test_means_are_over_the_steps_since_the_last_ones():
    meter = Meter(CPU)
    for step, loss in enumerate((1.0, 2.0, 6.0)):
        meter.add(step, scalars(loss))
    assert meter.take_means() == {"loss": 3.0, "grad_norm": 1.0}
    meter.add(3, scalars(10.0))
    assert meter.take_means()["loss"] == 10.0


def test_the_first_step_that_is_not_finite_is_remembered():
    meter = Meter(CPU)
    for step, loss in enumerate((1.0, float("nan"), 2.0, float("inf"))):
        meter.add(step, scalars(loss))
    assert meter.first_bad_step() == 1


@pytest.mark.parametrize("watched", [True, False])
def test_gradients_count_unless_the_scaler_handles_them(watched: bool):
    meter = Meter(CPU)
    meter.add(4, scalars(1.0, norm=float("inf")), watch_gradients=watched)
    assert meter.first_bad_step() == (4 if watched else None)


def test_a_restored_meter_gives_the_mean_of_the_whole_period():
    first, second = Meter(CPU), Meter(CPU)
    first.add(0, scalars(1.0))
    second.load(first.state())
    first.add(1, scalars(4.0))
    second.add(1, scalars(4.0))
    assert second.take_means() == first.take_means()


def test_state_does_not_change_with_the_meter():
    meter = Meter(CPU)
    meter.add(0, scalars(1.0))
    state = meter.state()
    meter.add(1, scalars(5.0))
    assert state["count"] == 1
    assert float(state["sums"]["loss"]) == 1.0  # type: ignore[index]


def test_the_clock_separates_waiting_from_working(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr("stica_pv.engine.meter.time.perf_counter", lambda: now)
    clock = Clock(CPU)
    for wait, work in ((3.0, 1.0), (1.0, 1.0)):
        clock.wait_begins()
        now += wait
        clock.data_ready()
        now += work
        clock.step_done()
    timings = clock.take_timings(batch_size=4)
    assert timings.pop("memory_mb") > 10
    assert timings == {"step_time": 3.0, "data_time": 2.0, "data_share": 4 / 6, "samples_per_second": 8 / 6}


def test_a_run_on_the_cpu_does_not_ask_the_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *device: 0)
    clock = Clock(CPU)
    clock.step_done()
    assert clock.take_timings(batch_size=1)["memory_mb"] > 10


def test_the_clock_starts_anew_after_each_reading(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr("stica_pv.engine.meter.time.perf_counter", lambda: now)
    clock = Clock(CPU)
    for _ in range(2):
        clock.wait_begins()
        now += 1.0
        clock.data_ready()
        now += 1.0
        clock.step_done()
        assert clock.take_timings(batch_size=1)["data_share"] == 0.5


def test_what_happens_between_two_steps_is_no_wait_for_data(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr("stica_pv.engine.meter.time.perf_counter", lambda: now)
    clock = Clock(CPU)
    for _ in range(2):
        clock.data_ready()
        now += 1.0
        clock.step_done()
        now += 8.0  # a checkpoint is written
        clock.wait_begins()
        now += 1.0
    clock.data_ready()
    timings = clock.take_timings(batch_size=1)
    assert timings["step_time"] == 10.0
    assert timings["data_time"] == 1.0
