"""The page about checkpoints says what their files and results say."""

from pathlib import Path

import pytest
from tiny_runs import run_tiny

from stica_pv.errors import UsageError
from stica_pv.exchange.zoo import zoo_page


def test_a_row_has_the_scores_of_the_run(clips_folder: Path, tmp_path: Path) -> None:
    numbers = run_tiny(
        clips_folder,
        tmp_path / "small",
        TRAIN__MAX_STEPS=2,
        TEST__ENABLE=True,
        TEST__EVALUATIONS=["retrieval"],
        TEST__NUM_ENSEMBLE_VIEWS=1,
    )
    page = zoo_page([str(tmp_path / "small")])
    row = page.splitlines()[-1]
    trained, random = numbers["retrieval/R@1"], numbers["retrieval/R@1/random_init"]
    assert row.startswith("| `small` | av_contrastive | `r2plus1d_10`, width 4 |")
    assert f"| 2 of 4 videos | retrieval R@1 {trained:.1f} ({random:.1f}) | `step_00000002.pyth`, " in row


def test_a_run_without_scores_is_refused(trained: Path) -> None:
    with pytest.raises(UsageError, match=r"has no scores of one trained model: evaluate it first"):
        zoo_page([str(trained)])
