"""Import layers of the package, and their list in its documentation. Each checker is tried on a bad example first."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Lowest first: imports point down this list only, and within one layer only inside one's own folder.
# docs/architecture.md prints the same list, and a test below compares the two.
LAYERS = (
    ("safe_text", "terminal"),
    ("errors", "credentials", "partial_file", "progress"),
    ("structures", "command_line", "recipe_files", "precision"),
    ("compat", "registry", "keyed_random", "config", "metrics", "weights", "temporary_folder"),
    ("distributed",),
    ("models", "losses", "transforms"),
    ("tasks", "data"),
    ("engine",),
    ("evaluation",),
    ("defaults",),
    ("report", "exchange"),
    ("interop",),
    ("workflows",),
    ("launch",),
    ("commands",),
    ("tools", "__main__"),
)
HEIGHT = {unit: height for height, units in enumerate(LAYERS) for unit in units}

PAGE = ROOT / "docs" / "architecture.md"
PAGE_ROW = re.compile(r"^\| (\d+) \| ([^|]+) \|", re.MULTILINE)
PAGE_UNIT = re.compile(r"`(\w+)(?:/|\.py)`")

# What may be imported late, inside a function: optional extras, and parts of torch that one key needs and that take
# half a second. Whole units that may: job bodies, commands, compat.
EXTRAS = (
    "sklearn",
    "tensorboard",
    "torch.utils.tensorboard",
    "torch.distributed.device_mesh",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "safetensors",
    "onnxruntime",
    "cv2",
    "huggingface_hub",
    "huggingface_hub.errors",
    "matplotlib",
    "mlflow",
    "numba",
    "stica_pv.transforms.color_kernel",  # needs numba
    "timm",
    "transformers",
    "wandb",
)
LATE_IMPORTERS = ("launch", "commands", "tools", "compat")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports_of(tree: ast.AST, package: str = "") -> Iterator[tuple[int, str]]:
    """Yields (line, dotted name) of each import, one name per imported member; relative ones resolved in `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def unit_of(path: Path) -> str:
    """Returns the unit of a file, as LAYERS names it: ``stica_pv/models/x.py`` is in ``models``."""
    parts = path.parts if path.parts[0] == "tools" else path.parts[1:]
    return parts[0].removesuffix(".py")


def without_type_imports(tree: ast.Module) -> ast.Module:
    """Returns a module without ``if TYPE_CHECKING``: the public names are imported when they are used."""
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    return tree


def layer_faults(path: Path, source: str) -> list[str]:
    unit, faults = unit_of(path), []
    tree = without_type_imports(ast.parse(source)) if unit == "__init__" else ast.parse(source)
    if unit not in (*HEIGHT, "__init__"):
        return [f"{path}: {unit} is in no layer of LAYERS"]
    for line, name in imports_of(tree, ".".join(path.parts[:-1])):
        if not name.startswith("stica_pv."):
            continue
        other = name.split(".")[1]
        if other in ("__version__", unit):
            continue
        if other not in HEIGHT:
            faults.append(f"{path}:{line}: {other} is in no layer of LAYERS")
        elif HEIGHT.get(unit, -1) <= HEIGHT[other]:
            faults.append(f"{path}:{line}: {unit} must not import {other}, which is not below it")
    return faults


def late_import_faults(path: Path, source: str) -> list[str]:
    if unit_of(path) in LATE_IMPORTERS:
        return []
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {found for function in functions for found in imports_of(function)}
    return [f"{path}:{line}: late import of {name}" for line, name in sorted(late) if not name.startswith(EXTRAS)]


def unrepaired_faults(path: Path, source: str) -> list[str]:
    found = list(imports_of(ast.parse(source)))
    repairs = [line for line, name in found if name == "stica_pv.compat"]
    fragile = [(line, name) for line, name in found if name.split(".")[0] in ("torchvision", "pytorchvideo")]
    return [
        f"{path}:{line}: {name} is imported without `import stica_pv.compat` above it"
        for line, name in fragile
        if unit_of(path) != "compat" and not any(repair < line for repair in repairs)
    ]


def layers_of_page(text: str) -> list[set[str]]:
    """Returns the units of each layer that the table of a page lists, lowest first."""
    rows = sorted((int(number), units) for number, units in PAGE_ROW.findall(text))
    assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
    return [set(PAGE_UNIT.findall(units)) for _, units in rows]


Checker = Callable[[Path, str], list[str]]


@pytest.mark.parametrize("check", [layer_faults, late_import_faults, unrepaired_faults])
def test_rule_holds(check: Checker):
    files = python_files("stica_pv", "tools")
    assert files
    faults = [fault for path in files for fault in check(path.relative_to(ROOT), path.read_text(encoding="utf-8"))]
    assert not faults, "\n".join(faults)


MODEL = Path("stica_pv/models/net.py")

BAD: list[tuple[Checker, Path, str]] = [
    (layer_faults, MODEL, "import stica_pv.tasks.gdt.gdt"),
    (layer_faults, MODEL, "from stica_pv import engine"),
    (layer_faults, MODEL, "from stica_pv.losses import nce"),
    (layer_faults, MODEL, "from ..tasks import gdt"),
    (layer_faults, MODEL, "def late():\n    from stica_pv.workflows.run import main"),
    (layer_faults, MODEL, "from stica_pv import attic"),
    (layer_faults, Path("stica_pv/attic/old.py"), ""),
    (layer_faults, Path("stica_pv/data/decoding/reader.py"), "from stica_pv.tasks import gdt"),
    (layer_faults, Path("stica_pv/tasks/gdt/gdt.py"), "from stica_pv.data.decoding import reader"),
    (layer_faults, Path("stica_pv/__init__.py"), "from stica_pv import models"),
    (layer_faults, Path("stica_pv/metrics.py"), "from stica_pv.config import CfgNode"),
    (late_import_faults, MODEL, "def f():\n    import json"),
    (unrepaired_faults, MODEL, "import torchvision"),
    (unrepaired_faults, MODEL, "from pytorchvideo.models import x\nimport stica_pv.compat"),
]
GOOD: list[tuple[Checker, Path, str]] = [
    (layer_faults, MODEL, "import torch\nimport stica_pv.compat\nfrom stica_pv.models import head\nfrom . import head"),
    (layer_faults, Path("stica_pv/config/node.py"), "from stica_pv.errors import UsageError"),
    (layer_faults, Path("stica_pv/workflows/run.py"), "from stica_pv import __version__, defaults, engine"),
    (layer_faults, Path("tools/run_net.py"), "from stica_pv.launch import slurm"),
    (layer_faults, Path("stica_pv/__init__.py"), "if TYPE_CHECKING:\n    from stica_pv import models"),
    (late_import_faults, MODEL, "import json\ndef f():\n    from sklearn.svm import SVC"),
    (unrepaired_faults, MODEL, "import stica_pv.compat\nimport torchvision"),
]


@pytest.mark.parametrize(("check", "path", "source"), BAD)
def test_checker_finds_the_fault(check: Checker, path: Path, source: str):
    assert len(check(path, source)) == 1


@pytest.mark.parametrize(("check", "path", "source"), GOOD)
def test_checker_accepts_good_code(check: Checker, path: Path, source: str):
    assert check(path, source) == []


def test_every_unit_of_the_package_is_in_a_layer():
    units = {unit_of(path.relative_to(ROOT)) for path in python_files("stica_pv")} - {"__init__"}
    assert units <= set(HEIGHT)


def test_the_architecture_page_prints_the_same_layers():
    assert layers_of_page(PAGE.read_text(encoding="utf-8")) == [set(units) for units in LAYERS]


def test_a_page_with_a_unit_in_another_layer_differs():
    text = "| 2 | `b/` · `c.py` | more |\n| 1 | `a.py` | text in `d/` |\n"
    assert layers_of_page(text) == [{"a"}, {"b", "c"}]
