"""What benchmarks leave behind: medians with quartiles, ratios of neighbors, targets, and a machine that is named."""

import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from stica_pv.commands import benchmark
from stica_pv.commands.benchmarks.machine import warnings_of
from stica_pv.commands.benchmarks.records import Limit, Row, Spread, Target, noisy, number
from stica_pv.commands.benchmarks.timing import alternate

ROW = {"name", "unit", "figure", "against", "comparison", "ratio", "target", "limit", "note", "reached"}


def test_a_spread_is_median_and_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3, 2, 4, 5)
    assert Spread.of([7.0]) == Spread(7, 7, 7, 1)
    assert Spread(3, 2, 4, 5).width == pytest.approx(2 / 3)


def test_a_ratio_is_that_of_neighbors_and_not_of_medians() -> None:
    row = Row.paired("a", "ms", [1.0, 20.0, 9.0], "b", [2.0, 10.0, 3.0])  # 0.5, 2, 3
    assert row.ratio is not None
    assert row.ratio.median == 2
    assert row.figure.median / row.comparison.median == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        (Target("ratio", "<=", 0.5), True),
        (Target("ratio", "<=", 0.4), False),
        (Target("ratio", ">=", 0.5), True),
        (Target("ratio", ">=", 0.6), False),
        (Target("figure", "<=", 1.0), True),
        (Target("figure", ">=", 1.1), False),
        (None, None),
    ],
)
def test_a_target_is_held_against_the_median(target: Target | None, reached: bool | None) -> None:
    row = Row.paired("a", "ms", [1.0], "b", [2.0], target=target, limit=Limit("clock", 0.25))
    assert row.reached is reached
    assert row.as_json()["reached"] is reached
    arguments = {True: "reached", False: "MISSED", None: ""}[reached]
    cells = [cell.strip() for cell in row.as_line().strip("|").split("|")]
    assert cells[:5] == ["a", "1.00 ms", "b", "2.00 ms", "0.500"]
    assert cells[5].endswith(arguments)
    assert cells[6] == "clock: 0.250 ms"


def test_only_rows_that_spread_are_called_noisy() -> None:
    quiet, loud = [Row.single(name, "s", [1.0, 1 + wide, 1 + 2 * wide]) for name, wide in (("q", 0.05), ("l", 0.5))]
    assert len(noisy([quiet, loud])) == 1
    assert noisy([quiet, loud])[0].startswith("l: ")
    assert noisy([Row.single("exponent", "", [-0.1, 0.0, 0.1])]) == []


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (12.345, "12.3"), (0.01234, "0.0123"), (0.0, "0.0")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_others_on_the_machine_are_reported() -> None:
    assert warnings_of({"load_before": 50.0, "load_after": 50.0, "others_share": 0.01}) == []
    assert "60%" in warnings_of({"load_before": 0.0, "load_after": 0.0, "others_share": 0.6})[0]
    assert "load average 50.0" in warnings_of({"load_before": 50.0, "load_after": 0.0, "others_share": None})[0]
    assert warnings_of({"load_before": 0.0, "load_after": 50.0, "others_share": None}) == []


def test_works_take_turns_that_turn_round_and_warming_up_does_not_count() -> None:
    done: list[str] = []
    ticks = iter(range(100))
    taken = alternate(
        {"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 2, clock=lambda: float(next(ticks)), warm_up=1
    )
    assert "".join(done) == "baabba"
    assert taken == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two benchmarks that measure nothing; the second asks for what cannot be had."""
    for name in ("first", "second"):
        module = ModuleType(f"stica_pv.commands.benchmarks.{name}")

        def rows(args: Namespace, name: str = name) -> Iterator[Row]:
            yield Row.paired(name, "ms", [1.0] * args.repeats, "it", [2.0] * args.repeats, note="A note.")

        module.__dict__.update(REPEATS=3, add_arguments=lambda parser: None, rows=rows)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(benchmark, "BENCHMARKS", {"first": "x", "second": "y"})


@pytest.mark.usefixtures("made_up")
def test_a_report_names_machine_versions_noise_and_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["first", "--repeats", "2", "--json", str(tmp_path / "a.json")]) == 0
    text = capsys.readouterr().out
    assert "| first | 1.00 ms | it | 2.00 ms | 0.500 |  |  |" in text
    assert "A note." in text
    whole = json.loads((tmp_path / "a.json").read_text())
    assert whole.keys() == {"format", "reports"}
    (report,) = whole["reports"]
    assert report.keys() == {"benchmark", "command", "machine", "noise", "warnings", "rows"}
    assert {"processor", "cores", "threads", "gpu", "python", "torch"} <= report["machine"].keys()
    assert report["noise"].keys() == {"load_before", "load_after", "others_share"}
    (row,) = report["rows"]
    assert row.keys() == ROW
    assert row["ratio"] == {"median": 0.5, "low": 0.5, "high": 0.5, "count": 2}


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory.\nTried"),
            r"UsageError: .*\(CUDA out of memory\.\): use --batch 8",
        ),
        (KeyError("size"), "KeyError: 'size'"),
        (KeyboardInterrupt(), "it was stopped"),
    ],
    ids=["memory", "error", "Ctrl-C"],
)
def test_what_was_measured_is_kept_when_a_row_fails(
    cause: BaseException,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def rows(args: Namespace) -> Iterator[Row]:
        yield Row.single("a", "ms", [1.0])
        raise cause

    module = ModuleType("stica_pv.commands.benchmarks.failing")
    module.__dict__.update(REPEATS=1, add_arguments=lambda parser: parser.set_defaults(batch=16), rows=rows)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(benchmark, "BENCHMARKS", {"failing": "x"})
    try:
        code = benchmark.main(["failing", "--json", str(tmp_path / "a.json")])
    except KeyError:  # our own mistake
        code = 1
    assert code == {"UsageError": 2, "KeyError": 1}.get(message.split(":")[0], 130)
    (report,) = json.loads((tmp_path / "a.json").read_text())["reports"]
    assert [row["name"] for row in report["rows"]] == ["a"]
    assert re.match(message, report["error"])
    assert "; batch 16" in capsys.readouterr().out


@pytest.mark.usefixtures("made_up")
def test_a_report_that_could_not_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["first"], ["all"]):
        assert benchmark.main([*arguments, "--json", str(tmp_path / "absent" / "a.json")]) == 2
        message = capsys.readouterr()
        assert "expected a file in a folder that is there" in message.err
        assert message.out == ""


def test_all_joins_the_reports_of_those_that_ran_and_ends_with_the_worst_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: object) -> Namespace:
        if command[5] == "second":
            return Namespace(returncode=2)
        Path(command[-1]).write_text(json.dumps({"format": 1, "reports": [{"benchmark": command[5]}]}))
        return Namespace(returncode=0)

    monkeypatch.setattr(benchmark, "BENCHMARKS", dict.fromkeys(("first", "second", "third", *benchmark.APART), "x"))
    monkeypatch.setattr(benchmark.subprocess, "run", run)
    assert benchmark.main(["all", "--json", str(tmp_path / "a.json")]) == 2
    reports = json.loads((tmp_path / "a.json").read_text())["reports"]
    assert [report["benchmark"] for report in reports] == ["first", "third"]


@pytest.mark.parametrize("name", ["step", "gpu", "scaling", "backbones"])
def test_every_benchmark_states_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        benchmark.main([name, "--help"])
    assert stopped.value.code == 0
    assert "--json FILE" in capsys.readouterr().out
