"""The tool that measures the exchange of many processes refuses what it does not measure."""

from pathlib import Path

import pytest

from stica_pv.commands import scaling

ROOT = Path(__file__).resolve().parents[2]


def test_another_task_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]):
    assert scaling.main(["--cfg", str(ROOT / "projects/cvrl/demo.yaml")]) == 2
    message = capsys.readouterr()
    assert message == ("", "error: TASK: expected av_contrastive, whose rows and loss this measures; got cvrl\n")


def test_a_second_file_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        scaling.main(["--cfg", "a.yaml", "--cfg", "b.yaml"])
    assert end.value.code == 2
    assert "--cfg: expected one FILE, got 2" in capsys.readouterr().err
