"""The benchmarks of the step: what is compared computes the same numbers, and each runs at tiny sizes."""

import argparse
import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stica_pv.commands import benchmark
from stica_pv.commands.benchmarks import gpu, scaling, step, subject
from stica_pv.commands.benchmarks.gpu import MEANS, PLAIN, in_shares, synchronizations, utilization
from stica_pv.commands.benchmarks.peaks import Peaks, flops_of, measure_peaks
from stica_pv.commands.benchmarks.records import Row
from stica_pv.commands.benchmarks.subject import MANY, STANDARD, BeyondTrunk, Counts, create_subject
from stica_pv.commands.benchmarks.training import TrainingStep, fp32_precision
from stica_pv.commands.benchmarks.virtual_keys import fresh, virtual_rows

TINY = ["--arch", "r2plus1d_10", "--width", "4", "--frames", "16", "--size", "28", "--repeats", "1"]
TINY += ["--device", "cpu"]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The benchmarks set their number for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def tiny_args(**change: object) -> argparse.Namespace:
    sizes = {"arch": "r2plus1d_10", "width": 4, "frames": 32, "size": 56, "batch": 3, "device": "cpu", "repeats": 1}
    return argparse.Namespace(**(sizes | change))


@pytest.mark.parametrize(
    ("crops", "pool"), [(STANDARD, "transformer"), (MANY, "transformer"), ((0, 0, 0, 0), "average")]
)
def test_the_loop_over_crops_and_terms_gives_the_tasks_numbers(crops: Counts, pool: str) -> None:
    weight = "1.0" if not any(crops) else "0.5"
    task = create_subject(tiny_args(), crops, "POOL.NAME", pool, "CONTRASTIVE.CROSS_MODAL_WEIGHT", weight)
    part = BeyondTrunk(task, 3, CPU)
    found = []
    for way in (part.ours, part.loop):
        loss, inputs = way()
        gradients = {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}
        found.append(gradients | {name: x.grad for name, x in inputs.items() if x.grad is not None} | {"loss": loss})
    assert found[0].keys() == found[1].keys() >= {"view1", "view2", "log_mel", "video_head.linear1.weight"}
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    assert float(found[0]["loss"] - found[1]["loss"]) == pytest.approx(0, abs=1e-5)


def test_the_loss_against_the_keys_of_many_processes_is_that_of_the_loop() -> None:
    task = create_subject(tiny_args())
    mine, everybodys = virtual_rows(task, 4, 24, CPU)
    assert everybodys["windows"].shape == (20, 24, 256)
    ours = task.loss(fresh(mine), everybodys, rank_offset=0).total
    looped = BeyondTrunk(task, 3, CPU).looped.loss(fresh(mine), everybodys, rank_offset=0)
    torch.testing.assert_close(ours, looped, rtol=1e-5, atol=1e-5)


def test_a_step_with_faster_means_from_the_host_has_the_loss_of_the_plain_one() -> None:
    args = tiny_args(frames=16, size=28)
    fast = TrainingStep(args, CPU, *PLAIN, *(argument for arguments in MEANS.values() for argument in arguments))
    torch.testing.assert_close(TrainingStep(args, CPU, *PLAIN)(), fast.from_host(), rtol=1e-5, atol=1e-5)


def test_precision_is_put_back() -> None:
    before = torch.backends.cudnn.allow_tf32
    with fp32_precision(strict=True):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 is before


def test_operations_of_a_product_are_counted_and_peaks_are_positive() -> None:
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert flops_of(lambda: a @ b) == 2 * 3 * 5 * 7
    peaks = measure_peaks(CPU, side=32)
    assert peaks.flops > 0
    assert peaks.bytes > 0


def test_faster_means_and_the_plain_step_are_both_timed_without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[int, bool, bool]] = []

    class Noting:
        def __init__(self, args: argparse.Namespace, device: torch.device, *arguments: str) -> None:
            self.arguments = len(arguments)

        def __call__(self) -> None:
            ran.append((self.arguments, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))

    monkeypatch.setattr(gpu, "TrainingStep", Noting)
    assert len(list(itertools.islice(gpu.rows(tiny_args(compile=True)), len(MEANS) + 1))) == 3
    assert set(ran) == {(len(PLAIN), False, False), (len(PLAIN) + 2, False, False)}


def test_the_limit_of_the_trunk_has_its_precision_and_nothing_is_timed_cold_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: list[tuple[str, bool, int]] = []

    def noting(works: Mapping[str, object], repeats: int, clock: object, warm_up: int = 1) -> dict[str, list[float]]:
        received.append((next(iter(works)), torch.backends.cudnn.allow_tf32, warm_up))
        return {name: [1.0] for name in works}

    def peaks(device: torch.device) -> Peaks:
        received.append(("peaks", torch.backends.cudnn.allow_tf32, 0))
        return Peaks(1.0, 1.0)

    monkeypatch.setattr(step, "alternate", noting)
    monkeypatch.setattr(step, "measure_peaks", peaks)
    monkeypatch.setattr(step, "SHARES", {})
    monkeypatch.setattr(step, "named", lambda crops: "trunk")
    monkeypatch.setattr(step, "check_subject", lambda args: torch.device("meta"))  # for a GPU: it is not the processor
    assert len(list(itertools.islice(step.rows(tiny_args(frames=16, size=28)), 2))) == 2
    assert received == [("peaks", False, 0), ("trunk", False, 1), *[("crop", False, 1)] * 4]
    assert step.warm_up_of(CPU) == 0


class Product(nn.Module):
    """Two rows of three numbers by a matrix."""

    device = CPU

    def forward(self) -> torch.Tensor:
        return torch.ones(2, 3) @ torch.ones(3, 4)


def test_counting_the_operations_of_a_compiled_step_leaves_it_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def counting(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        def run(*args: object) -> object:
            runs.append("graph")
            return graph(*args)

        return run

    compiled, twin = Product(), Product()
    compiled.compile(backend=counting)
    monkeypatch.setattr(gpu, "largest_costs", lambda work, device: "")
    share = Row.paired("trunk", "ms", [1.0], "step", [2.0])
    compiled()
    assert runs == ["graph"]
    row = utilization(share, compiled, twin, Peaks(1e9, 1e9))  # type: ignore[arg-type]
    compiled()
    assert runs == ["graph"] * 2
    assert row.figure.median == pytest.approx(2 * 2 * 3 * 4 / 2.0 / 1e6)


def test_costs_are_those_of_operations_and_not_of_their_kernels_again() -> None:
    def row(key: str, kind: str, on_device: float, on_cpu: float) -> SimpleNamespace:
        kind_of = SimpleNamespace(name=kind)
        return SimpleNamespace(
            key=key, device_type=kind_of, self_device_time_total=on_device, self_cpu_time_total=on_cpu
        )

    averages = [
        row("conv", "CPU", 75.0, 1.0),
        row("add", "CPU", 25.0, 3.0),
        row("kernel of conv", "CUDA", 75.0, 0.0),
        row("kernel of add", "CUDA", 25.0, 0.0),
        row("step", "CUDA", 100.0, 0.0),
    ]
    assert in_shares(averages, "self_device_time_total") == "conv 75%, add 25%"
    assert in_shares(averages, "self_cpu_time_total") == "add 75%, conv 25%"


def test_only_waits_for_the_gpu_are_counted_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        for text in (*["called a synchronizing CUDA operation"] * 2, "synchronize your watches"):
            warnings.warn(text, stacklevel=1)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    prototype = "Synchronization debug mode is a prototype feature and does not yet detect all synchronizing operations"
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: warnings.warn(prototype, stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert synchronizations(work) == 2


@pytest.mark.parametrize(("gib", "clips"), [(139, 32), (78, 32), (40, 16), (24, 8), (2, 2)])
def test_the_batch_is_one_that_fits_into_the_memory_of_the_gpu(
    gib: int, clips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=gib * 2**30))
    assert subject.default_batch(2) == clips


@pytest.mark.parametrize(("power", "target"), [(0, True), (1, True), (2, False)])
def test_an_exponent_is_the_slope_of_logarithms(power: int, target: bool) -> None:
    sizes = {0: [5.0], 2: [3.0 * 2**power], 4: [3.0 * 4**power], 16: [3.0 * 16**power]}
    *points, exponent = scaling.grown("step", "batch", sizes, scaling.LINEAR)
    assert exponent.figure.median == pytest.approx(power)
    assert exponent.reached is target
    assert points[-1].ratio is not None
    assert points[-1].ratio.median == pytest.approx(3 * 16**power / 5)


def test_a_sample_is_shown_with_one_of_the_smallest_size_in_whatever_order_they_were_measured() -> None:
    ms = {8: [16.0], 2: [6.0]}
    rows = list(scaling.grown("step", "batch", ms, scaling.LINEAR, {size: size for size in ms}))
    each = {row.name: (row.figure.median, row.ratio.median) for row in rows if "sample" in row.name and row.ratio}
    assert each == {"a sample of it, batch 8": (2.0, 2 / 3), "a sample of it, batch 2": (3.0, 1.0)}


def test_crops_are_counted_together() -> None:
    assert [sum(scaling.split(count)) for count in (0, 1, 2, 8, 64)] == [0, 1, 2, 8, 64]


@pytest.mark.parametrize(
    ("arguments", "rows", "without"),
    [
        (
            ["step", "--batch", "2", "--head_batch", "2", "--rank_batch", "8", "--ranks", "2", "--loss_rows", "4"],
            11,
            (),
        ),
        (["gpu", "--batch", "2"], 6, ("MISSED",)),
        (
            ["scaling", "--batch", "2", "--batches", "2", "3", "--lengths", "16", "20", "--crops", "0", "8"]
            + ["--processes", "1", "2", "--powers", "1", "2"],
            26,
            (),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
@pytest.mark.slow
def test_each_runs_at_tiny_sizes_and_leaves_the_layout(
    arguments: list[str], rows: int, without: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main([*arguments, *TINY, "--json", str(tmp_path / "a.json")]) == 0
    text = capsys.readouterr().out
    assert not any(argument in text for argument in without)
    (report,) = json.loads((tmp_path / "a.json").read_text())["reports"]
    assert len(report["rows"]) == rows
    for row in report["rows"]:
        assert math.isfinite(row["figure"]["median"])
        assert (row["comparison"] is None) == (row["ratio"] is None) == (row["against"] == "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["step", "--batch", "1"], "--batch: batch-norm and contrast need at least 2 clips, got 1"),
        (["gpu", "--device", "tpu"], "--device tpu: expected cpu, or cuda on a machine with a GPU"),
        (["scaling", "--batches", "0"], "--batches: expected numbers >= 1, got [0]"),
        (["step", "--arch", "r2plus1d_19"], "r2plus1d_18"),
    ],
)
def test_a_wrong_size_is_reported_and_ends_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.gpu
def test_a_step_that_is_not_logged_never_waits_for_the_gpu() -> None:
    step = TrainingStep(tiny_args(device="cuda"), torch.device("cuda"))
    step.from_host()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.from_host()
    finally:
        torch.cuda.set_sync_debug_mode("default")
