"""A password within a URI is used, and is in nothing that is written."""

import os
from pathlib import Path

import pytest

from stica_pv.config import apply_overrides, merge_file
from stica_pv.credentials import with_credentials, without_credentials
from stica_pv.defaults import get_cfg
from stica_pv.engine.run_folder import describe_environment
from stica_pv.engine.run_name import default_output_dir
from stica_pv.errors import UsageError

KEY, VARIABLE = "MLFLOW.TRACKING_URI", "MLFLOW_TRACKING_URI"
WHOLE, SHOWN = "https://me:pa:ss%40word@host:5000/a?b=c@d", "https://host:5000/a?b=c@d"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (WHOLE, SHOWN),
        (f"error at '{WHOLE}': no", f"error at '{SHOWN}': no"),
        ("postgresql://u:p@db/x and s3://token@bucket/y", "postgresql://db/x and s3://bucket/y"),
        ("kept://a/b@c.mp4, me@there, https://host", "kept://a/b@c.mp4, me@there, https://host"),
    ],
)
def test_credentials_are_cut_out_of_texts(text: str, shown: str):
    assert without_credentials(text) == shown


@pytest.mark.parametrize("way", ["command line", "file"])
def test_a_configuration_holds_no_password_and_the_tracker_gets_it(way: str, tmp_path: Path):
    cfg = get_cfg()
    if way == "file":
        (tmp_path / "a.yaml").write_text(f"MLFLOW: {{TRACKING_URI: '{WHOLE}'}}")
        merge_file(cfg, tmp_path / "a.yaml")
    else:
        apply_overrides(cfg, [KEY, WHOLE])
    assert cfg.MLFLOW.TRACKING_URI == SHOWN
    assert "pa:ss" not in cfg.dump()
    assert os.environ[VARIABLE] == WHOLE
    assert with_credentials(KEY, cfg.MLFLOW.TRACKING_URI) == WHOLE
    assert with_credentials(KEY, "https://another") == "https://another"


@pytest.mark.parametrize(
    ("key", "value"),
    [("DATA.PATH_TO_DATA_DIR", "s3://me:secret@host/data"), ("CUSTOM_IMPORTS", "['https://secret@host/a']")],
)
def test_every_other_key_refuses_credentials_without_repeating_them(key: str, value: str):
    with pytest.raises(UsageError, match=f"{key}: .* contains a user name or a password") as refused:
        apply_overrides(get_cfg(), [key, value])
    assert "secret" not in str(refused.value)


def test_neither_the_folder_nor_the_record_of_a_run_contains_a_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["run_net.py", KEY, WHOLE])
    assert f"command: run_net.py {KEY} {SHOWN}\n" in describe_environment()
    assert default_output_dir("a.yaml", ["DATA.LIST", WHOLE]).startswith(
        f"output/{Path.cwd().name}/a/list-https_host_5000_a_b_c_d__"
    )
