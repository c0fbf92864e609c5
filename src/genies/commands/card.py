"""A generalization card: what a reward model, a judge or a language model prefers, without training anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from genies.command_line import Arguments
from genies.errors import InputError
from genies.files import write_text
from genies.quantities import counted


class CardArguments(Arguments):
    """Evaluate a scorer on all installed targets and write a card: a page, a Markdown section, a picture and JSON.

    Example:
      python api/card.py --model_dir models/SmolLM2-135M-Instruct --output_dir cards/SmolLM2

    The official distributions (python download_data.py), the starter suite and imported suites in the same folder are
    used. Evaluations are kept below the output folder: after a stop, run the same command again.
    """

    model_dir: Path | None = None
    """Folder of the model: a reward model, an adapter with a head, or a language model."""
    output_dir: Path = Path("card")
    """Folder of the card."""
    scorer: str | None = None
    """How responses are scored: log_probabilities, reward_model, judge, or the folder of an intervention that tunes
    nothing, such as src/interventions/length (default: reward_model where the folder has a reward head, else
    log_probabilities)."""
    prompt_format: Literal["raw", "chat"] | None = None
    """Format of the texts (default: chat for reward models with a template, else raw)."""
    eval_kwargs: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Further arguments of the scorer's eval.py, such as '{"dtype": "bfloat16"}'."""
    max_examples: Annotated[int, Field(ge=1)] = 100
    """Examples of each target, from the start of its test split."""
    compare: Path | None = None
    """Another model, evaluated in the same way and compared pair by pair."""
    compare_scorer: str | None = None
    """How the responses of --compare are scored."""
    questions: Path | None = None
    """YAML file of questions (default: the project's own, src/genies/card/questions.yaml)."""
    distributions_dir: Path = Path("distributions")
    """Folder of the installed distributions."""
    launcher: Literal["local", "ray"] = "local"
    """Where jobs run: as processes of this machine, or as tasks of a Ray cluster (pip install -e .[ray])."""
    slots: Annotated[int, Field(ge=1, le=1024)] = 1
    """How many jobs run at once on this machine."""
    gpus: list[str] = Field(default_factory=list)
    """GPUs to use, as 0,1; each runs one job at a time."""
    ray_address: str | None = None
    """HOST:PORT of a running Ray cluster (default: one is started on this machine and stopped after the run)."""
    cpus_per_step: Annotated[int, Field(ge=1)] = 1
    """Processors that Ray reserves for a job."""
    gpus_per_step: Annotated[float, Field(ge=0)] = 0
    """GPUs that Ray reserves for a job; with 0 a job sees none."""
    collect: Path | None = None
    """Instead of making a card, write a sortable table of the cards below this folder, collected.html in it."""
    dry_run: bool = False
    """Print what would be evaluated, with texts, tokens, memory and time; evaluate nothing."""

    @model_validator(mode="after")
    def _something_to_do(self) -> CardArguments:
        if (self.model_dir is None) == (self.collect is None):
            raise ValueError("give --model_dir FOLDER to make a card, or --collect FOLDER for a table of cards")
        if self.compare_scorer is not None and self.compare is None:
            raise ValueError("--compare_scorer is for --compare")
        return self


_OF_THE_MAIN_JOB = ("launcher", "slots", "gpus", "ray_address", "cpus_per_step", "gpus_per_step")


def main(args: CardArguments, root: Path) -> int:
    # Imported here: --help must not wait for the statistics.
    from genies.card.questions import OWN, read_questions

    if args.collect is not None:
        return _collect(args.collect)
    from genies.card.cost import told_cost
    from genies.card.making import Order, check_output, make_card
    from genies.card.measuring import intervention_of, scorer_of
    from genies.folders import named_folder
    from genies.harness.inputs import check_model
    from genies.harness.store import Store

    assert args.model_dir is not None
    named = {"model_dir": args.model_dir} | ({} if args.compare is None else {"compare": args.compare})
    models = [named_folder(folder, name) for name, folder in named.items()]
    check_output(args.output_dir, models[0].name)
    for folder, name in zip(models, named, strict=True):
        check_model(folder, Store(root, root / "models", args.output_dir), name)
    given = args.model_fields_set
    kwargs = {**args.eval_kwargs, **({} if args.prompt_format is None else {"prompt_format": args.prompt_format})}
    more = {name: getattr(args, name) for name in _OF_THE_MAIN_JOB if name in given}
    order = Order(
        models[0],
        args.scorer or scorer_of(models[0]),
        read_questions(args.questions or OWN),
        args.output_dir.resolve(),
        (args.distributions_dir if "distributions_dir" in given else root / args.distributions_dir).resolve(),
        args.max_examples,
        kwargs,
        None if args.compare is None else (models[1], args.compare_scorer or scorer_of(models[1])),
        more,
    )
    for scorer in (order.scorer, *([order.other[1]] if order.other else [])):
        intervention_of(scorer)  # refuses one that would train
    print(told_cost(order))
    if args.dry_run:
        return 0
    card = make_card(order, root)
    for answer in card.answers:
        ends = "" if answer.low is None else f" [{answer.low:.2f}, {answer.high:.2f}]"
        shown = "no target installed" if answer.share is None else f"{answer.share:.2f}{ends}, {answer.prompts} prompts"
        print(f"{answer.question} {shown}" + "".join(f" ({mark})" for mark in answer.marks))
    for warning in card.warnings:
        print(f"warning: {warning}")
    print(f"card: {args.output_dir / 'index.html'}")
    return 0


def _collect(folder: Path) -> int:
    from genies.card.content import read_card
    from genies.card.page import collected

    paths = sorted(folder.rglob("card.json"))
    if not paths:
        raise InputError(f"--collect {folder}: no card.json is below it; make cards with --model_dir")
    output = folder / "collected.html"
    write_text(output, collected({path: read_card(path) for path in paths}))
    print(f"{counted(len(paths), 'card')} in {output}")
    return 0
