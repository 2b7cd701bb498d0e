import json
from pathlib import Path

import pytest

from stica_pv.errors import RunFailed, UsageError
from stica_pv.evaluation.protocol import MEAN, NO_MODEL, Row
from stica_pv.evaluation.results import Results, read_results


def row(model: str, value: float, *, fold: str = "test", metric: str = "R@1", evaluation: str = "retrieval") -> Row:
    return Row(
        evaluation=evaluation,
        protocol=f"{evaluation} (exactly|so)",
        metric=metric,
        model=model,
        processing="centered",
        dataset="csv",
        dataset_hash="abc",
        fold=fold,
        value=value,
        low=value - 1,
        high=value + 1,
        n=20,
        groups=5,
        views="10 x 1",
    )


ONE = Results([row("trained", 50.0), row("random_init", 30.0), row("colors", 20.0)], ["trained"], 25.0)


def test_the_only_trained_encoder_has_the_short_names():
    found = ONE.flat()
    assert {key: found[key] for key in ("retrieval/R@1", "retrieval/R@1/random_init", "retrieval/R@1/colors")} == {
        "retrieval/R@1": 50.0, "retrieval/R@1/random_init": 30.0, "retrieval/R@1/colors": 20.0,
    }  # fmt: skip
    assert found["chance/top1"] == 25.0
    assert (found["retrieval/R@1/low"], found["retrieval/R@1/high"], found["retrieval/R@1/n"]) == (49.0, 51.0, 20.0)
    assert found["retrieval/R@1/random_init/low"] == 29.0


def test_several_checkpoints_have_their_names():
    found = Results([row("a", 50.0), row("b", 60.0), row("random_init", 1.0)], ["a", "b"], None).flat()
    assert "retrieval/R@1" not in found
    assert (found["retrieval/R@1/a"], found["retrieval/R@1/b"]) == (50.0, 60.0)
    assert "chance/top1" not in found


def test_without_a_checkpoint_random_initialisation_keeps_its_name():
    found = Results([row("random_init", 30.0)], [], 25.0).flat()
    assert found["retrieval/R@1/random_init"] == 30.0
    assert "retrieval/R@1" not in found


def test_folds_stand_beside_their_mean():
    rows = [row("trained", 40.0, fold="1"), row("trained", 60.0, fold="2"), row("trained", 50.0, fold=MEAN)]
    found = Results(rows, ["trained"], None).flat()
    assert (found["retrieval/R@1"], found["retrieval/R@1/fold1"], found["retrieval/R@1/fold2"]) == (50.0, 40.0, 60.0)
    assert "retrieval/R@1/fold1/low" not in found


def test_a_number_of_no_encoder_has_no_name_behind_it():
    results = Results([row(NO_MODEL, 7.0, evaluation="single_frame", metric="linear/top1")], ["trained"], None)
    assert results.flat()["single_frame/linear/top1"] == 7.0
    assert "no encoder" in results.table()
    assert "| no encoder |" in results.markdown()


def test_the_table_has_a_line_for_each_measure_and_a_column_for_each_model():
    rows = [
        *ONE.rows,
        row("trained", 61.26, metric="R@5"),
        row("trained", 1.0, fold="1"),
        row("trained", 50.0, fold=MEAN),
    ]
    lines = Results(rows, ["trained"], 25.0).table().splitlines()
    assert [line.split() for line in lines] == [
        ["score", "in", "%", "trained", "random_init", "colors"],
        ["retrieval/R@1", "50.0", "30.0", "20.0"],
        ["retrieval/R@5", "61.3"],
        ["chance/top1", "25.0", "25.0", "25.0"],
    ]
    assert len({line.rstrip().find("50.0") + 4 for line in lines if "50.0" in line}) == 1
    assert lines[0].index("trained") + len("trained") == lines[1].index("50.0") + len("50.0")


def test_the_page_has_every_row_with_protocol_counts_interval_and_hash():
    lines = [line for line in ONE.markdown().splitlines() if line.startswith("| retrieval")]
    assert lines[0] == (
        "| retrieval (exactly\\|so) | R@1 | trained | centered | test | 50.0 | 49.0 to 51.0 "
        "| 20 | 5 | 10 x 1 | csv (abc) |"
    )
    assert len(lines) == 3
    header = next(line for line in ONE.markdown().splitlines() if line.startswith("| protocol"))
    assert header.count(" | ") == lines[1].count(" | ")


def test_both_files_are_written(tmp_path: Path):
    ONE.write(tmp_path)
    assert (tmp_path / "results.json").read_text() == ONE.json()
    assert (tmp_path / "results.md").read_text() == ONE.markdown()
    with pytest.raises(RunFailed, match="results cannot be written"):
        ONE.write(tmp_path / "results.md" / "nowhere")


def test_results_are_read_as_they_were_written(tmp_path: Path):
    rows = [*ONE.rows, row(NO_MODEL, 7.123456789, evaluation="single_frame"), row("trained", 1.0, fold="1")]
    Results(rows, ["trained"], 25.0).write(tmp_path)
    found = read_results(tmp_path)
    assert found.rows == rows
    assert found.numbers == Results(rows, ["trained"], 25.0).flat()
    assert not read_results(tmp_path / "none").rows
    assert read_results(tmp_path / "none").numbers == {}


def test_results_of_earlier_versions_hold_the_numbers_alone(tmp_path: Path):
    (tmp_path / "results.json").write_text(json.dumps(ONE.flat()))
    found = read_results(tmp_path)
    assert (found.numbers, list(found.rows)) == (ONE.flat(), [])


def test_damaged_results_and_those_of_a_later_version_are_refused_in_one_line(tmp_path: Path):
    text = ONE.json()
    later = text.replace("results 2", "results 3")
    for content, expected in ((text[:-30], "cannot be read"), ("[]", "cannot be read"), (later, "update stica_pv")):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(UsageError, match=expected) as refused:
            read_results(tmp_path)
        assert "\n" not in str(refused.value)
