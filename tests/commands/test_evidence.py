"""The evidence command: which grids it runs, and the outcomes of its table."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import yaml
from made_grids import GRID, TOP1, leave_results

from stica_pv.commands import ablation, evidence
from stica_pv.commands.ablations.claims import outcome, read_evidence
from stica_pv.commands.ablations.statistics import estimate

ROOT = Path(__file__).resolve().parents[2]
CLAIM = {"CLAIM": "Crops help", "PAPER": "Table 3", "GRID": "generated", "MEASURE": "knn/top1"}
CLAIMS: dict[str, Any] = {
    "GRIDS": {
        "generated": {"FILE": "grid.yaml", "HOURS": 2.5},
        "real": {"FILE": "grid.yaml", "WITH": "DATA.PATH_TO_DATA_DIR {clips}"},
    },
    "CLAIMS": [
        CLAIM | {"CONTRAST": "crops above none"},
        CLAIM | {"CLAIM": "Training helps", "CELL": "plain"},
        CLAIM | {"GRID": "real", "CONTRAST": "crops above none"},
    ],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Claims that two grids test, one of them on data of the user."""
    (tmp_path / "base.yaml").write_text("TASK: av_contrastive\n")
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(GRID))
    path = tmp_path / "evidence.yaml"
    path.write_text(yaml.safe_dump(CLAIMS))
    return path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for `stica-pv train`: writes what a finished run leaves, and keeps the command lines."""
    given: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        given.append(" ".join(command))
        leave_results(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(ablation.subprocess, "run", run)
    return given


def test_grids_run_with_their_data_and_each_claim_gets_its_outcome(
    file: Path, commands: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = [str(file), "--out", str(tmp_path / "out")]
    assert evidence.main(arguments) == 0
    assert "real: left out, add --data clips=FOLDER" in capsys.readouterr().out
    assert len(commands) == 10
    low, high = scipy.stats.ttest_rel(TOP1["crops"], TOP1["plain"]).confidence_interval()
    page = (tmp_path / "out" / "evidence.md").read_text()
    shown = (
        f"| Crops help | Table 3 | generated: crops above none | knn/top1 | 9.7 [{low:.1f}, {high:.1f}] | 3 | shown |"
    )
    assert shown in page
    assert "| Training helps | Table 3 | generated: plain above the best untrained |" in page
    assert "| real: crops above none | knn/top1 | – | 0 | not run |" in page
    assert "Expected hours on 2 CPU cores: generated 2.5; not measured: real." in page
    commands.clear()
    assert evidence.main([*arguments, "--data", f"clips={tmp_path}"]) == 0
    assert len(commands) == 10  # the generated grid has ended
    assert all(f"DATA.PATH_TO_DATA_DIR {tmp_path} " in one for one in commands)
    page = (tmp_path / "out" / "evidence.md").read_text()
    assert "not run" not in page
    commands.clear()
    assert evidence.main([*arguments, "--table"]) == 0
    assert not commands
    assert (tmp_path / "out" / "evidence.md").read_text() == page


def test_outcomes_follow_the_interval():
    assert [outcome(estimate(values)) for values in ([3.0, 4.0, 5.0], [-3.0, -4.0, -5.0], [3.0, -4.0, 5.0])] == [
        "shown",
        "against",
        "not shown",
    ]
    assert outcome(estimate([3.0])) == "not shown (one replicate)"
    assert outcome(None) == "not run"


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--data", "clips"], {}, "--data: expected NAME=FOLDER, got clips"),
        (["--data", "films=."], {}, "--data: expected one of clips, got films"),
        (["--data", "clips=absent"], {}, "--data clips=absent: there is no such folder"),
        (["--only", "other"], {}, "--only: expected one of generated, real, got other"),
        ([], {"CLAIMS": [CLAIM]}, "Crops help: expected CONTRAST or CELL, got both or neither"),
        ([], {"CLAIMS": [CLAIM | {"CELL": "x"}]}, "Crops help: CELL: expected one of crops, plain, got x"),
        ([], {"CLAIMS": [CLAIM | {"GRID": "x"}]}, "Crops help: GRID: expected one of generated, real, got x"),
        ([], {"CLAIMS": "x"}, "expected a mapping of GRIDS and a list of CLAIMS"),
        ([], {"GRIDS": {"a": {"FILE": "grid.yaml", "HOURS": "2 h"}}}, "HOURS: expected a number, got '2 h'"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], changes: dict[str, Any], message: str, file: Path, capsys):
    file.write_text(yaml.safe_dump(CLAIMS | changes))
    try:
        code = evidence.main([str(file), *arguments])
    except SystemExit as ended:  # argparse
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_the_claims_of_the_project_name_grids_contrasts_and_cells_that_exist():
    found = read_evidence(ROOT / "projects/stica/ablations/evidence.yaml")
    assert len(found.claims) >= 5
