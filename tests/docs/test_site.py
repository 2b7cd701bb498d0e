"""The documentation builds without a warning, opens without a network, and can be read on a phone, light and dark."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import SCHEMES, WIDTHS, browsing, faults_of, open_page
from pages import ROOT, SITE

pytestmark = pytest.mark.slow


def build(config: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]  # --quiet would let warnings pass
    command += ["--config-file", str(config), "--site-dir", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built documentation."""
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_every_page_is_built(site: Path) -> None:
    built = {str(path.relative_to(site).with_suffix(".md")) for path in site.rglob("*.html")} - {"404.md"}
    assert built == {str(path.relative_to(SITE)) for path in SITE.rglob("*.md")}


def test_every_page_is_readable_on_a_phone_and_a_screen(site: Path, browser: Any) -> None:
    pages = sorted(set(site.rglob("*.html")) - {site / "404.html"})  # that one is for the root of a server
    faults = {str(page.relative_to(site)): faults_of(browser, page, site=site) for page in pages}
    assert {page: found for page, found in faults.items() if found} == {}


def test_the_search_works_without_a_server(site: Path, browser: Any) -> None:
    open_page(browser, site / "index.html", width=WIDTHS[-1], scheme=SCHEMES[0])
    browser.find_element("css selector", "[data-md-component=search-query]").send_keys("exponent")
    browser.implicitly_wait(60)
    found = browser.find_element("css selector", ".md-search-result__link")
    assert found.get_attribute("href").startswith(site.as_uri())


@pytest.mark.parametrize(
    "text", ["[nowhere](nowhere.md)", "[nowhere](index.md#nowhere)", "::: stica_pv.models.Nothing"]
)
def test_a_link_or_reference_that_leads_nowhere_fails(text: str, tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Page\n\n{text}\n")
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[0]
    config = config.replace("paths: [.]", f"paths: [{ROOT}]")
    (tmp_path / "mkdocs.yml").write_text(config)
    assert build(tmp_path / "mkdocs.yml", tmp_path / "site").returncode != 0
