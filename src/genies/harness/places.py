"""The folders and limits that every command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from genies.command_line import Arguments
from genies.folders import normal
from genies.harness.order import Settings
from genies.harness.store import Store
from genies.shipped import SHIPPED

Kwargs = Annotated[dict[str, Any], Field(default_factory=dict)]
Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Places(Arguments):
    """Folders and limits; every command takes these."""

    listed_last: ClassVar[bool] = True

    distributions_dir: Path = Path("distributions")
    """Folder of the distributions that are given by name."""
    models_dir: Path = Path("models")
    """Folder of the tuned models; each is in <intervention>/<base model>-<source>."""
    results_dir: Path = Path("results")
    """Folder of the evaluations and of the jobs' logs."""
    timeout: Seconds | None = None
    """Seconds one job may take; after that it is stopped and counts as failed (default: no limit)."""
    processes_per_step: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that tune one model together, each with a part of its weights and, if there are GPUs, a GPU of its own.
    Only for the interventions that tune a model."""
    protect: bool = True
    """Mount the inputs of a job and the outputs of other jobs read-only, where the system allows it (Linux)."""
    verbose: bool = False
    """Show the output of jobs as they run; it is always written to a log."""

    def store(self, root: Path) -> Store:
        """The folders: a default is relative to the project root, a given path to the working directory."""

        def place(name: str) -> Path:
            base = Path.cwd() if name in self.model_fields_set else root
            return normal(base / getattr(self, name))

        return Store(root, place("models_dir"), place("results_dir"))

    def settings(self, root: Path) -> Settings:
        """How the jobs of this request are run."""
        store = self.store(root)
        return Settings(store, self.timeout, self.verbose, processes=self.processes_per_step, protect=self.protect)

    def distributions_folder(self, root: Path) -> Path:
        """The folder of the distributions that are given by name."""
        return normal((Path.cwd() if "distributions_dir" in self.model_fields_set else root) / self.distributions_dir)

    @property
    def spare_distributions(self) -> Path | None:
        """Where else names are looked for when no folder was named: among the project's own distributions."""
        return None if "distributions_dir" in self.model_fields_set else SHIPPED / "distributions"
