"""Recipes are found by name; a path goes before."""

from pathlib import Path

import pytest

from stica_pv import recipe_files
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure
from stica_pv.recipe_files import find_file, headlines, recipe_folder, recipe_names, recipe_of

PROJECTS = Path(__file__).resolve().parents[1] / "projects"


def test_a_clone_has_the_recipes_of_its_projects():
    files = sorted(str(path.relative_to(PROJECTS).with_suffix("")) for path in PROJECTS.rglob("*.yaml"))
    assert list(recipe_names()) == files
    assert all(line.startswith("Paper: ") for _, line in headlines())


@pytest.mark.parametrize("name", ["stica/k400", "stica/k400.yaml", "projects/stica/k400.yaml"])
def test_a_recipe_is_found_from_any_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_file(name) == str(PROJECTS / "stica" / "k400.yaml")
    assert recipe_of(Path(find_file(name))) == "stica/k400"


def test_a_file_goes_before_a_recipe_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stica" / "k400").mkdir(parents=True)
    assert find_file("stica/k400").startswith(str(PROJECTS))
    (tmp_path / "stica" / "k400.yaml").touch()
    assert find_file("stica/k400.yaml") == "stica/k400.yaml"
    assert recipe_of(Path("stica/k400.yaml")) is None


def test_a_file_of_ones_own_begins_with_a_recipe(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("_BASE_: stica/k400\nSOLVER:\n  BASE_LR: 0.25\n")
    assert configure(str(path), []).TRAIN.BATCH_SIZE == configure("stica/k400", []).TRAIN.BATCH_SIZE
    assert configure(str(path), []).SOLVER.BASE_LR == 0.25
    path.write_text("_BASE_: stica/k40\n")
    with pytest.raises(UsageError, match=r"there is no file .*, and no recipe stica/k40 \(did you mean stica/k400\?\)"):
        configure(str(path), [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "stica/k40",
            r"--cfg stica/k40: .* no such file or recipe \(did you mean stica/k400\?\); stica has .*stica/demo",
        ),
        ("projects/stica/k40.yaml", r"--cfg .*k40.yaml: there is no such file \(did you mean stica/k400\?\)"),
        ("../../x", "no such file or recipe; stica-pv recipes lists all"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, message: str):
    with pytest.raises(UsageError, match=message):
        find_file(name)


def test_an_installed_package_uses_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recipe_files, "_PACKAGED", tmp_path)
    assert recipe_folder() == tmp_path
