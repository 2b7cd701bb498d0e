"""The notebooks run from their first cell to the last."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the extra `notebooks`")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra `notebooks`")
    pytest.importorskip("matplotlib", reason="needs the extra `report`")
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('Path("run"), 16', 'Path("run"), 2')  # epochs
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = [
        out["text"] for cell in notebook.cells for out in cell.get("outputs", []) if out["output_type"] == "stream"
    ]
    assert printed


def test_notebooks_are_listed_in_the_readme() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert NOTEBOOKS
    assert all(name in text for name in NOTEBOOKS)
