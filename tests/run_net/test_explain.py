"""`--explain KEY`, and the page of all keys."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from saying import Say
from tiny_runs import REPOSITORY

from stica_pv.config import flatten
from stica_pv.config.declared import read_source, read_table
from stica_pv.config.keys import TABLE
from stica_pv.config.reference import describe_keys, reference_page
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError

PAGE = REPOSITORY / "docs" / "configuration.md"


def test_a_key_is_explained_with_all_that_its_declaration_says(say: Say):
    code, out, err = say("--explain", "data.ssl_color_hue")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "DATA.SSL_COLOR_HUE",
        "  Strength of the jitter of hue as a share of the color circle.",
        "  default      0.2",
        "  type         number",
        "  allowed      at least 0 and at most 0.5",
        "  role         clip: Describes how clips are read and transformed.",
        "               Evaluation and export take the value from the checkpoint.",
        "               A resumed run must not change it.",
        "  read by      TASK brave, cvrl",
        "  declared in  stica_pv.transforms.config",
    ]
    assert "one of h1, h2" in say("--explain", "GDT.HYPOTHESIS")[1]
    assert "A resumed run may change it." in say("--explain", "TEST.KNN_K")[1]


def test_a_section_lists_its_keys_and_an_unknown_key_names_the_nearest(say: Say):
    code, out, _ = say("--explain", "CROP")
    keys = [line.split()[0] for line in out.splitlines()]
    assert code == 0
    assert keys == [key for key, _ in flatten(get_cfg()) if key.startswith("CROP.")]
    assert max(map(len, say("--explain", "TEST")[1].splitlines())) < 240  # some defaults are long lists
    answers = {
        "DATA.BLURPROB": "unknown key DATA.BLURPROB (did you mean DATA.BLUR_PROB?)",
        "CONTRASTIVE.T": "CONTRASTIVE.T is now called CONTRASTIVE.TEMPERATURE: use that name",
        "RESNET.DEPTH": "RESNET.DEPTH is a SlowFast key without effect here: use MODEL.ARCH",
    }
    for key, answer in answers.items():
        assert say("--explain", key) == (2, "", f"error: {answer}\n")


def test_a_key_of_the_package_that_another_module_declares_too_is_refused(monkeypatch: pytest.MonkeyPatch):
    name = "CROP.PAIRING"
    monkeypatch.setitem(TABLE.keys, name, replace(TABLE.keys[name], component="mine"))
    with pytest.raises(UsageError, match=r"key CROP\.PAIRING is declared by stica_pv\..* and mine: rename one of them"):
        read_table()


def test_the_source_says_what_the_imported_modules_declare_and_without_torch():
    assert read_source() == TABLE
    program = (
        "import sys; from stica_pv.config.declared import read_table; "
        "print(len(read_table().keys), {'torch', 'numpy', 'av'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, cwd=REPOSITORY
    )
    assert done.stdout == f"{len(TABLE.keys)} set()\n"


def test_the_page_holds_every_key_once_and_is_written_anew():
    known = [key for key, _ in flatten(get_cfg())]
    described = describe_keys(read_table())
    assert sorted(one.name for one in described) == sorted(known)
    page = PAGE.read_text(encoding="utf-8")
    assert page == reference_page(read_table()), "the keys have changed: run tools/write_reference.py"
    for key in known:
        assert page.count(f"| `{key}` |") == 1, key


def test_each_key_is_described_in_a_sentence():
    for one in describe_keys(read_table()):
        assert one.sentence[0].isupper(), one.name
        assert one.sentence.endswith("."), one.name


def test_the_page_can_be_written_elsewhere(tmp_path: Path):
    command = [sys.executable, str(REPOSITORY / "tools" / "write_reference.py"), str(tmp_path / "keys.md")]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "keys.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
