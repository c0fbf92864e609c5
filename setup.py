"""Installs the genies library, the command `genies`, and copies of the project's own files (see genies.shipped)."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ["src/interventions/*/*.py", "src/interventions/*/*.json", "distribution_shifts/**/*.json"]
SHIPPED += [f"distributions/starter_*/{name}.json" for name in ("train", "test", "metadata")]


class BuildWithProjectFiles(build_py):
    """Copies what is outside the package into genies/project, under the names that it has in a checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        project = Path(self.build_lib, "genies", "project")
        shutil.rmtree(project, ignore_errors=True)  # what an earlier build left
        for path in sorted(path for pattern in SHIPPED for path in ROOT.glob(pattern)):
            target = project / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


DOCS = ["mkdocs-material>=9.6", "mkdocstrings[python]>=1.0"]

setup(
    name="genies",
    version="1.0.0.dev0",
    description="Measures how preference models generalize across distribution shifts.",
    license="MIT",
    package_dir={"": "src"},
    packages=find_packages("src", include=["genies", "genies.*"]),
    package_data={
        "genies": [
            "py.typed",
            "report/*.json",
            "report/templates/*",
            "report/assets/*",
            "card/*.json",
            "card/*.yaml",
            "card/templates/*",
        ]
    },
    cmdclass={"build_py": BuildWithProjectFiles},
    entry_points={"console_scripts": ["genies = genies.commands.console:main"]},
    install_requires=[
        "accelerate>=1.10",
        "gguf>=0.17",
        "huggingface_hub>=1.0",
        "jinja2>=3.1",
        "matplotlib>=3.9",
        "numpy>=2.0",
        "pandas>=2.2",
        "peft>=0.18",
        "pyarrow>=18",
        "pydantic>=2.11",
        "pyyaml>=6.0",
        "safetensors>=0.6",
        "scikit-learn>=1.6",
        "scipy>=1.13",
        "threadpoolctl>=3.5",
        "tokenizers>=0.21",
        "torch>=2.9",
        "tqdm>=4.66",
        "transformers>=5.0",
    ],
    extras_require={
        "bench": ["lm_eval==0.4.13", "pytablewriter==0.38.0", "trl==1.16.0"],
        "docs": DOCS,
        "gpu": ["bitsandbytes>=0.45"],
        "ray": ["ray>=2.52"],
        "tensorboard": ["tensorboard>=2.18"],
        "test": [
            *DOCS,
            "hypothesis>=6.120",
            "markdown-it-py>=3.0",
            "mypy>=1.17",
            "playwright>=1.50",
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "ray>=2.52",
            "ruff>=0.12",
            "statsmodels>=0.14",
            "tensorboard>=2.18",
            "types-PyYAML",
            "types-tqdm",
        ],
    },
)
