"""The rules of the house that no linter holds. Each checker is tried on a bad example first: it can fail."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60

# Layers, lowest first: imports point down this list only, and within one line only inside one's own folder.
# README.md of the package prints the same list.
FLOORS = (
    ("safe_text",),
    ("errors", "credentials"),
    ("structures", "command_line"),
    ("compat", "registry", "keyed_random", "config", "metrics", "weights", "temporary_folder"),
    ("distributed",),
    ("models", "losses", "transforms"),
    ("tasks", "data"),
    ("engine",),
    ("evaluation",),
    ("defaults",),
    ("report", "exchange"),
    ("workflows",),
    ("launch",),
    ("tools",),
)
HEIGHT = {unit: height for height, units in enumerate(FLOORS) for unit in units}

# What may be imported late, inside a function: optional extras. Whole units that may: job bodies, tools, compat.
EXTRAS = (
    "sklearn",
    "tensorboard",
    "torch.utils.tensorboard",
    "safetensors",
    "onnxruntime",
    "cv2",
    "matplotlib",
    "mlflow",
    "wandb",
)
LATE_IMPORTERS = ("launch", "tools", "compat")

HEADER_TOPICS = ("paper", "command", "hardware")
MACHINE_PATH = re.compile(
    r"(?<![\w.}\])*~/-])/(?:home|root|mnt|data|datasets|checkpoints?|private|scratch|tmp|work|Users|opt|srv|nfs|fsx)/\w"
    r"|\b[A-Z]:\\\w"
)


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
    """Returns the unit of a file that FLOORS places: ``stica_pv/models/x.py`` is in ``models``."""
    parts = path.parts if path.parts[0] == "tools" else path.parts[1:]
    return parts[0].removesuffix(".py")


def floor_faults(path: Path, source: str) -> list[str]:
    unit, faults = unit_of(path), []
    if unit not in (*HEIGHT, "__init__"):
        return [f"{path}: {unit} stands on no floor of FLOORS"]
    for line, name in imports_of(ast.parse(source), ".".join(path.parts[:-1])):
        if not name.startswith("stica_pv."):
            continue
        other = name.split(".")[1]
        if other in ("__version__", unit):
            continue
        if other not in HEIGHT:
            faults.append(f"{path}:{line}: {other} stands on no floor of FLOORS")
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


def length_faults(path: Path, source: str) -> list[str]:
    lines = len(source.splitlines())
    faults = [f"{path}: {lines} lines, at most {MAX_FILE_LINES}"] if lines > MAX_FILE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                faults.append(f"{path}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}")
    return faults


def except_faults(path: Path, source: str) -> list[str]:
    handlers = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    return [f"{path}:{node.lineno}: bare except" for node in handlers if node.type is None]


def print_faults(path: Path, source: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f"{path}:{n.lineno}: print" for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]


def squeeze_faults(path: Path, source: str) -> list[str]:
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("squeeze"):
            of_module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "np", "numpy")
            if len(node.args) <= of_module and not node.keywords:
                faults.append(f"{path}:{node.lineno}: squeeze without its axis")
    return faults


def machine_path_faults(path: Path, source: str) -> list[str]:
    found = [number for number, line in enumerate(source.splitlines(), 1) if MACHINE_PATH.search(line)]
    return [f"{path}:{number}: a path of one machine" for number in found]


def header_faults(path: Path, source: str) -> list[str]:
    lines = source.splitlines()
    length = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = [line.lstrip("# ").lower() for line in lines[:length]]
    missing = [topic for topic in HEADER_TOPICS if not any(line.startswith(topic) for line in header)]
    if not any(line.startswith("result") or "not yet run" in line for line in header):
        missing.append("result (or 'not yet run')")
    return [f"{path}: the comment that opens it does not name {', '.join(missing)}"] if missing else []


Checker = Callable[[Path, str], list[str]]
CODE = ("stica_pv", "tools")
RULES: dict[str, tuple[Checker, tuple[str, ...], str]] = {
    "imports_point_down": (floor_faults, CODE, "*.py"),
    "imports_stand_at_the_top": (late_import_faults, CODE, "*.py"),
    "torchvision_is_repaired_before_use": (unrepaired_faults, CODE, "*.py"),
    "files_and_functions_are_short": (length_faults, CODE, "*.py"),
    "except_names_its_error": (except_faults, CODE, "*.py"),
    "the_package_does_not_print": (print_faults, ("stica_pv",), "*.py"),
    "squeeze_names_its_axis": (squeeze_faults, CODE, "*.py"),
    "code_names_no_path_of_one_machine": (machine_path_faults, CODE, "*.py"),
    "settings_name_no_path_of_one_machine": (machine_path_faults, ("projects",), "*.y*ml"),
    "settings_open_with_their_provenance": (header_faults, ("projects",), "*.y*ml"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule_holds(rule: str):
    check, folders, pattern = RULES[rule]
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob(pattern))]
    assert files, f"nothing to check under {folders}"
    faults = [fault for path in files for fault in check(path.relative_to(ROOT), path.read_text(encoding="utf-8"))]
    assert not faults, "\n".join(faults)


GOOD_HEADER = "# Paper: STiCA\n# Command: run\n# Hardware: 1 GPU\n# Result: not yet run\nTASK: x\n"
MODEL = Path("stica_pv/models/net.py")

BAD: list[tuple[Checker, Path, str]] = [
    (floor_faults, MODEL, "import stica_pv.tasks.gdt.gdt"),
    (floor_faults, MODEL, "from stica_pv import engine"),
    (floor_faults, MODEL, "from stica_pv.losses import nce"),
    (floor_faults, MODEL, "from ..tasks import gdt"),
    (floor_faults, MODEL, "def late():\n    from stica_pv.workflows.run import main"),
    (floor_faults, MODEL, "from stica_pv import attic"),
    (floor_faults, Path("stica_pv/attic/old.py"), ""),
    (floor_faults, Path("stica_pv/data/decoding/reader.py"), "from stica_pv.tasks import gdt"),
    (floor_faults, Path("stica_pv/tasks/gdt/gdt.py"), "from stica_pv.data.decoding import reader"),
    (floor_faults, Path("stica_pv/__init__.py"), "from stica_pv import models"),
    (floor_faults, Path("stica_pv/metrics.py"), "from stica_pv.config import CfgNode"),
    (late_import_faults, MODEL, "def f():\n    import json"),
    (unrepaired_faults, MODEL, "import torchvision"),
    (unrepaired_faults, MODEL, "from pytorchvideo.models import x\nimport stica_pv.compat"),
    (length_faults, MODEL, "x = 1\n" * 351),
    (length_faults, MODEL, "def f():\n" + "    x = 1\n" * 60),
    (except_faults, MODEL, "try:\n    x\nexcept:\n    pass"),
    (print_faults, MODEL, "print(1)"),
    (squeeze_faults, MODEL, "x.squeeze()"),
    (squeeze_faults, MODEL, "x.mean().squeeze_()"),
    (squeeze_faults, MODEL, "torch.squeeze(x)"),
    (machine_path_faults, MODEL, 'root = "/home/me/videos"'),
    (machine_path_faults, MODEL, "# see /mnt/disk1"),
    (machine_path_faults, MODEL, 'root = "C:\\videos"'),
    (header_faults, Path("a.yaml"), "TASK: x\n" + GOOD_HEADER),
    (header_faults, Path("a.yaml"), GOOD_HEADER.replace("# Paper: STiCA\n", "")),
    (header_faults, Path("a.yaml"), GOOD_HEADER.replace("# Result: not yet run\n", "")),
]
GOOD: list[tuple[Checker, Path, str]] = [
    (floor_faults, MODEL, "import torch\nimport stica_pv.compat\nfrom stica_pv.models import head\nfrom . import head"),
    (floor_faults, Path("stica_pv/config/node.py"), "from stica_pv.errors import UsageError"),
    (floor_faults, Path("stica_pv/workflows/run.py"), "from stica_pv import __version__, defaults, engine"),
    (floor_faults, Path("tools/run_net.py"), "from stica_pv.launch import slurm"),
    (late_import_faults, MODEL, "import json\ndef f():\n    from sklearn.svm import SVC"),
    (unrepaired_faults, MODEL, "import stica_pv.compat\nimport torchvision"),
    (length_faults, MODEL, "def f():\n" + "    x = 1\n" * 59 + "y = 1\n" * 190),
    (except_faults, MODEL, "try:\n    x\nexcept OSError:\n    pass"),
    (print_faults, MODEL, "self.print(1)"),
    (squeeze_faults, MODEL, "x.squeeze(1)\nx.squeeze(dim=1)\ntorch.squeeze(x, 1)\nx.unsqueeze(0)"),
    (machine_path_faults, MODEL, '"stica_pv/data/x"\nf"{root}/data/x"\nroot / "data" / "x"\n"../data/x"\n"/dev/shm"'),
    (header_faults, Path("a.yaml"), GOOD_HEADER),
]


@pytest.mark.parametrize(("check", "path", "source"), BAD)
def test_checker_finds_the_fault(check: Checker, path: Path, source: str):
    assert len(check(path, source)) == 1


@pytest.mark.parametrize(("check", "path", "source"), GOOD)
def test_checker_accepts_good_code(check: Checker, path: Path, source: str):
    assert check(path, source) == []


def test_every_unit_on_disk_stands_on_a_floor():
    units = {unit_of(path.relative_to(ROOT)) for path in python_files("stica_pv")} - {"__init__"}
    assert units <= set(HEIGHT)
