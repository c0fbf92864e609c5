"""Train one intervention on one source distribution."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from genies.commands.single import exit_status, identities_of_machine, own_variant, run_single
from genies.errors import InputError
from genies.folders import distribution_folder, named_folder
from genies.harness.decide import check_training
from genies.harness.job import Job
from genies.harness.places import Kwargs, Places
from genies.harness.plan import training_job, tuned_model_name, unlabelled_suffix


class TrainRequest(Places):
    """Train one intervention on one source: a single training job of the harness.

    Example:
      python api/train.py --model_dir models/SmolLM2-135M-Instruct --intervention_dir src/interventions/mms
        --train_distribution alpaca_mmlu
    """

    aliases: ClassVar[dict[str, str]] = {"retrain": "retrain_models"}

    model_dir: Path
    """Folder of the untuned base model."""
    intervention_dir: Path
    """Folder of the intervention, whose train.py is run."""
    train_distribution: str
    """The source: a folder or the name of a distribution."""
    unlabelled_distribution: str | None = None
    """For an intervention that reads unlabelled texts of a target: the target, a folder or the name of a
    distribution. train.py gets a copy of its train split without labels."""
    train_kwargs: Kwargs
    """Arguments for train.py, as '{"seed": 1, "max_examples": 60}'."""
    retrain_models: bool = False
    """Train again even if the same model exists."""

    def job(self, root: Path) -> Job:
        base_model = named_folder(self.model_dir, "model_dir")
        made = own_variant(self.intervention_dir, root, train_kwargs=self.train_kwargs)
        given = self.unlabelled_distribution
        if made.unlabelled != (given is not None):
            wanted = "reads unlabelled texts of a target; name it" if made.unlabelled else "reads no unlabelled texts"
            raise InputError(f"--unlabelled_distribution: {made.name} {wanted}")
        source, *others = (
            distribution_folder(each, self.distributions_folder(root), self.spare_distributions)
            for each in (self.train_distribution, *([given] if given is not None else []))
        )
        target = others[0] if others else None
        name = tuned_model_name(base_model.name, source.name, suffix=unlabelled_suffix(target.name) if target else "")
        model_dir = self.store(root).model_dir(made.name, name)
        return training_job(made, base_model, source.name, source, model_dir, unlabelled=target)


def main(request: TrainRequest, root: Path) -> int:
    """Train one model, unless it exists, and return the exit status."""
    identities = identities_of_machine(root)
    check = check_training(request.job(root), request.retrain_models, identities)
    result = run_single(check, request, root, identities.hashes, request.retrain_models)
    if result.failure is None:
        (folder,), (output,) = check.job.outputs.values(), check.outputs.values()
        state = "trained" if check.run else "reused, unverified" if output.standing.unverified else "reused"
        print(f"{request.store(root).shown(folder)} ({state})")
    return exit_status(result)
