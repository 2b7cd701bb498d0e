"""`stica_pv.compat`, each case in a process of its own: a broken import cannot be undone inside one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BROKEN = 'import torch\ntorch.library.register_fake("torchvision::nms")(lambda *a: a[0])\n'
"""What torchvision does on import, in a torchvision whose compiled part did not load."""


def run_python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Runs `code` with the folders of `path` searched first for modules."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def fake_torchvision(tmp_path: Path):
    """Returns a function that writes a torchvision with the given `__init__` and module of tensor functionals."""

    def write(init: str, functionals: str) -> Path:
        transforms = tmp_path / "torchvision" / "transforms"
        transforms.mkdir(parents=True)
        (transforms.parent / "__init__.py").write_text(init)
        (transforms / "__init__.py").write_text("")
        (transforms / f"{functionals}.py").write_text("WHERE = __name__\n")
        return tmp_path

    return write


@pytest.mark.slow
def test_pytorchvideo_and_torchvision_models_work_after_the_repair():
    done = run_python(
        "import stica_pv.compat, sys\n"
        "import torch, torchvision, pytorchvideo.models, pytorchvideo.data, pytorchvideo.transforms\n"
        "first = sys.modules['torchvision']\n"
        "stica_pv.compat.repair()\n"
        "assert sys.modules['torchvision'] is first, 'imported again'\n"
        "from torchvision.models.video import r2plus1d_18\n"
        "net = r2plus1d_18(weights=None, num_classes=5).eval()\n"
        "print(tuple(net(torch.zeros(1, 3, 4, 16, 16)).shape))\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "(1, 5)"


def test_broken_torchvision_is_imported_and_its_missing_operator_says_so(fake_torchvision):
    path = fake_torchvision(BROKEN, "_functional_tensor")
    done = run_python(
        "import stica_pv.compat, torch, torchvision\n"
        "import torchvision.transforms.functional_tensor as old\n"
        "print(stica_pv.compat.torchvision_is_repaired(), old.WHERE)\n"
        "assert 'was built for another torch than' in stica_pv.compat.torchvision_report()\n"
        "stica_pv.compat.repair()\n"
        "torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)\n",
        path,
    )
    assert done.stdout == "True torchvision.transforms._functional_tensor\n", done.stderr
    assert "torchvision.ops.nms needs the compiled part of torchvision" in done.stderr.splitlines()[-1]


def test_the_symptom_is_the_one_this_torch_reports(fake_torchvision):
    done = run_python("import torchvision", fake_torchvision(BROKEN, "_functional_tensor"))
    assert done.stderr.splitlines()[-1] == "RuntimeError: operator torchvision::nms does not exist"


def test_healthy_torchvision_is_left_alone(fake_torchvision):
    path = fake_torchvision("", "functional_tensor")
    done = run_python(
        "import torchvision\n"
        "import stica_pv.compat, sys, torch\n"
        "import torchvision.transforms.functional_tensor as old\n"
        "same = sys.modules['torchvision'] is torchvision\n"
        "assert stica_pv.compat.torchvision_report() == ''\n"
        "print(same, stica_pv.compat.torchvision_is_repaired(), hasattr(torch.ops.torchvision, 'nms'), old.WHERE)\n",
        path,
    )
    assert done.stdout == "True False False torchvision.transforms.functional_tensor\n", done.stderr


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ('raise RuntimeError("CUDA major versions differ")', "RuntimeError: CUDA major versions differ"),
        ('raise ImportError("no libpng")', "ImportError: no libpng"),
    ],
)
def test_other_errors_of_torchvision_pass_at_the_first_try(fake_torchvision, init: str, message: str):
    path = fake_torchvision(f"print('imported')\n{init}", "functional_tensor")
    done = run_python("import stica_pv.compat", path)
    assert done.stdout == "imported\n"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == message


def test_importing_the_package_alone_does_not_import_torch():
    done = run_python("import sys, stica_pv\nprint('torch' in sys.modules)")
    assert done.stdout == "False\n", done.stderr
