"""Packaging of stica_pv; the exact versions it is tested with are in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version() -> str:
    """Returns `__version__` of the package without importing it (that would need its dependencies)."""
    text = (HERE / "stica_pv" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("stica_pv/__init__.py does not set __version__")
    return found.group(1)


def read_readme() -> str:
    """Returns the text of the README, empty where a source copy comes without it."""
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


setup(
    name="stica_pv",
    version=read_version(),
    description="STiCA (Space-Time Crop & Attend, ICCV 2021) and its relatives as a plugin for pytorchvideo",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["stica_pv", "stica_pv.*"]),
    package_data={"stica_pv": ["py.typed", "report/templates/*"]},
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "pytorchvideo>=0.1.5",
        "fvcore",
        "iopath",
        "yacs",
        "pyyaml",
        "av>=17.0.1,<20",  # its decoders tell how far pictures are reordered
        "submitit>=1.5",
        "numpy",
        "jinja2",  # torch and torchvision bring it and pillow; named, since the pages import them
        "pillow",
    ],
    extras_require={
        "test": [
            "pytest",
            "pytest-xdist",
            "ruff",
            "mypy",
            "scipy",
            "python_speech_features",
            "selenium",
            "types-PyYAML",
        ],
        "eval": ["scikit-learn"],
        "flow": ["opencv-python-headless"],  # to compute optical flow; stored flow needs nothing
        "tensorboard": ["tensorboard"],
        "wandb": ["wandb"],
        "mlflow": ["mlflow-skinny", "sqlalchemy", "alembic"],
        "report": ["matplotlib", "scikit-learn"],
        "export": ["safetensors", "onnx", "onnxscript", "onnxruntime"],
    },
)
