"""Packaging of stica_pv; the exact versions it is tested with are in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

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


class BuildWithRecipes(build_py):
    """Copies the recipes of projects/ into the package; an editable installation uses those of the clone."""

    def run(self) -> None:
        """Builds the package, then copies the recipes."""
        super().run()
        for file, target in self._recipes().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(file, target, preserve_mode=False)

    def get_source_files(self) -> list[str]:
        """Returns the files that a source distribution needs."""
        return [*super().get_source_files(), *map(str, self._files())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Returns the files that are built."""
        return [*super().get_outputs(include_bytecode), *self._recipes().values()]

    def _files(self) -> list[Path]:
        return sorted(path.relative_to(HERE) for path in (HERE / "projects").rglob("*.yaml"))

    def _recipes(self) -> dict[str, str]:
        if self.editable_mode:
            return {}
        to = Path(self.build_lib, "stica_pv", "recipes")
        return {str(path): str(to / path.relative_to("projects")) for path in self._files()}


setup(
    name="stica_pv",
    version=read_version(),
    description="STiCA (Space-Time Crop & Attend, ICCV 2021) and its relatives as a plugin for pytorchvideo",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["stica_pv", "stica_pv.*"]),
    cmdclass={"build_py": BuildWithRecipes},
    entry_points={"console_scripts": ["stica-pv = stica_pv.commands.program:main"]},
    package_data={"stica_pv": ["py.typed", "report/templates/*"]},
    # What was run at the ends of these ranges: docs/versions.md. The linters run with constraints.txt alone.
    install_requires=[
        "torch>=2.13.0,<2.15",
        "torchvision>=0.28.0,<0.30",
        "pytorchvideo>=0.1.5,<0.2",
        "fvcore>=0.1.5.post20221221,<0.2",
        "iopath>=0.1.10,<0.2",
        "yacs>=0.1.8,<0.2",
        "pyyaml>=6.0.1,<7",
        "av>=17.0.1,<20",  # data/decoding/pyav.py knows the differences
        "submitit>=1.5.4,<2",  # writes what a batch script does after the run
        "numpy>=2.1.0,<3",
        "jinja2>=3.1.4,<4",  # torch and torchvision bring it and pillow; named, since the pages import them
        "pillow>=11.0.0,<14",
        "tqdm>=4.67,<5",
    ],
    extras_require={
        "test": [
            "pytest>=9.0.0,<10",
            "pytest-timeout>=2.4,<3",
            "pytest-xdist>=3.6.1,<4",
            "ruff",
            "mypy",
            "scipy>=1.14.1,<2",
            "python_speech_features>=0.6,<0.7",
            "selenium>=4.25.0,<5",
            "types-PyYAML",
            "build>=1.2,<2",
            "shtab>=1.7,<2",
        ],
        "completion": ["shtab>=1.7,<2"],
        "eval": ["scikit-learn>=1.5.2,<2"],
        "fast": ["numba>=0.68,<0.69"],  # compiled colors on a CPU
        "flow": ["opencv-python-headless>=4.10.0.84,<6"],  # to compute optical flow; stored flow needs nothing
        "trunks": ["timm>=1.0.20,<2", "transformers>=5.0,<6"],
        "tensorboard": ["tensorboard"],
        "wandb": ["wandb"],
        "mlflow": ["mlflow-skinny", "sqlalchemy", "alembic"],
        "report": ["matplotlib>=3.9.2,<4", "scikit-learn>=1.5.2,<2"],  # figures of ablations; map of the clips in pages
        "docs": ["mkdocs>=1.6.1,<2", "mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1.0.8,<2"],
        "notebooks": ["nbformat>=5.10,<6", "nbclient>=0.10,<1", "ipykernel>=6.29,<8", "matplotlib>=3.9.2,<4"],
        "hub": ["huggingface_hub>=2.0.0,<3", "safetensors>=0.4.5,<1"],
        "hear": ["hearvalidator"],  # brings TensorFlow; the adapter itself needs nothing
        "xares": ["xares>=0.1.3,<0.2"],
        "export": ["safetensors>=0.4.5,<1", "onnx>=1.17.0,<2", "onnxscript>=0.3.0,<0.8", "onnxruntime>=1.20.0,<2"],
    },
)
