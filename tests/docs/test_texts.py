"""The README is short, its facts are those of the packaging, and links between files lead somewhere."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest
from pages import PAGES, ROOT, SITE, prose
from tiny_task import tiny_batch, tiny_task

from stica_pv.report.quantities import EXACT
from stica_pv.structures import StepKeys

LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
LONGEST_README = 1000
FOLDER_LINES = 20


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_has_at_most_its_limit() -> None:
    assert len(text_of("README.md").split()) <= LONGEST_README


def test_readmes_of_folders_are_short() -> None:
    readmes = [path for path in PAGES if path.name == "README.md" and path.parent != ROOT]
    assert readmes
    assert {str(path): n for path in readmes if (n := len(path.read_text().splitlines())) > FOLDER_LINES} == {}


def test_the_oldest_torch_is_that_of_the_packaging() -> None:
    pages = text_of("README.md") + text_of("docs/install.md")
    oldest = sorted(set(re.findall(r"≥ ([\d.]+)\)", pages)))
    assert re.findall(r'"torch>=([\d.]+).0,', text_of("setup.py")) == oldest


def test_the_version_of_the_citation_is_that_of_the_package() -> None:
    (version,) = re.findall(r'__version__ = "([^"]+)"', text_of("stica_pv/__init__.py"))
    assert f"version: {version}\n" in text_of("CITATION.cff")
    assert f"## {version}" in text_of("CHANGELOG.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(prose(page)) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_placeholder_is_code(page: Path) -> None:
    """Outside of code a browser takes ``<name>`` for an element, and shows nothing."""
    text = re.sub(r"<!--.*?-->|`[^`]*`|</?div[^>]*>", "", prose(page), flags=re.DOTALL)
    assert re.findall(r"<[A-Za-z/][^>]*>", text) == []


def test_pages_of_the_site_link_only_to_the_site() -> None:
    links = [(page, link) for page in SITE.rglob("*.md") for link in LINK.findall(prose(page)) if "://" not in link]
    assert [link for page, link in links if SITE not in (page.parent / link).resolve().parents] == []


@pytest.mark.parametrize("page", sorted((SITE / "api").glob("*.md")), ids=lambda page: page.stem)
def test_every_name_of_the_api_exists_and_has_a_docstring(page: Path) -> None:
    names = re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert names or page.stem == "index"
    assert [name for name in names if not (resolve_name(name).__doc__ or "").strip()] == []


def test_every_logged_metric_is_explained() -> None:
    explained = set(re.findall(r"`([\w/]+)`", text_of("docs/metrics.md")))
    assert sorted(set(EXACT) - explained) == []
    task = tiny_task()
    params = task.sample_params(StepKeys(seed=0, step=0, epoch=0, indices=(0, 1)))
    assert sorted(set(task(tiny_batch((0, 1)), params).scalars) - explained) == []
