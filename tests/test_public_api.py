"""The names of `import stica_pv`: listed, documented, and imported only when they are used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import stica_pv

PAGE = Path(__file__).resolve().parents[1] / "docs" / "public_api.md"


def test_the_page_lists_every_public_name_with_its_stability():
    rows = re.findall(
        r"^\| `stica_pv\.(\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [name for name, _, _ in rows] == sorted(stica_pv.__all__, key=[name for name, _, _ in rows].index)
    assert all(stability.startswith("stable") for _, _, stability in rows)


def test_every_public_name_is_there_and_listed_by_dir():
    assert set(stica_pv.__all__) <= set(dir(stica_pv))
    found = {name: getattr(stica_pv, name) for name in stica_pv.__all__}
    from stica_pv.exchange import load_encoder
    from stica_pv.models import FeatureCrop
    from stica_pv.tasks import AVContrastive

    assert (found["FeatureCrop"], found["AVContrastive"], found["load_encoder"]) == (
        FeatureCrop,
        AVContrastive,
        load_encoder,
    )


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'stica_pv' has no attribute 'FeatureCorp'"):
        stica_pv.FeatureCorp  # noqa: B018 - reading it is the test


def test_the_import_loads_nothing_heavy():
    code = (
        "import sys, stica_pv; dir(stica_pv); sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'av')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=300).returncode == 0
