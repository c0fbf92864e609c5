"""Log-probabilities by token in the sample browser, for the samples on which the untuned model and the best one differ.

A separate process computes them (`python -m genies.methods.token_scores`), because the report imports no torch.

tokens/<distribution>.js    {"examples": [index, ...], "scores": {evaluation: {index: [best, [worse, ...]]}},
                            "none": {evaluation: reason}}; a response is [[text, log-probability], ...] or null
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from genies.adapter_base import CONFIG, REWARD_RECORD
from genies.contract import evaluation_items
from genies.data.distribution import Distribution, Example
from genies.evaluation_file import Evaluation
from genies.files import read_json
from genies.report.samples import Scored, write_script

NOT_COMPUTED = "they could not be computed"
NOT_SCORED_BY_TOKEN = "only the untuned model and adapters whose scores are log-probabilities have them"

Tokens = list[tuple[str, float | None]]
"""The text and the log-probability of each token of a response."""


@dataclass(frozen=True)
class TokenRequest:
    """Which token scores a report contains."""

    samples: int
    """Number of samples of each distribution."""
    model_dir: Path
    """Folder of the untuned base model."""
    models_dir: Path
    """Folder of the tuned models, <intervention>/<base model>-<source>."""
    baseline: str
    """The intervention that evaluates the untuned model by its log-probabilities."""


@dataclass(frozen=True)
class _Chosen:
    """The samples of one distribution, and the evaluations that are compared."""

    distribution: Distribution
    file: str
    examples: list[int]
    evaluations: Mapping[str, Evaluation]
    """Of the untuned model and of the best intervention, by key."""
    models: Mapping[str, Path]
    """The folders of those of them that score by log-probabilities."""


@dataclass
class TokenScores:
    """Chooses samples of each distribution, then computes the scores of all with one process for each model."""

    request: TokenRequest
    notes: list[str] = field(default_factory=list)
    _chosen: list[_Chosen] = field(default_factory=list)
    _without: list[str] = field(default_factory=list)
    """Distributions without an evaluation of the untuned model or of a tuned one."""

    def choose(
        self, distribution: Distribution, file: str, scored: Sequence[Scored], evaluations: Mapping[str, Evaluation]
    ) -> bool:
        """Choose the samples with the largest difference between the untuned model and the best intervention.

        evaluations: of all of `scored`, by key. False if one of the two is missing.
        """
        base_model = self.request.model_dir.resolve().name
        of_model = [each for each in scored if each.base_model == base_model]
        baseline = self.request.baseline
        untuned = next((each for each in of_model if each.source is None and each.intervention == baseline), None)
        best = _best(of_model, distribution.name, baseline)
        if untuned is None or best is None:
            self._without.append(distribution.name)
            return False
        difference = {
            index: abs(mean(best.probabilities[index]) - mean(p))
            for index, p in untuned.probabilities.items()
            if index in best.probabilities
        }
        largest = sorted(difference, key=lambda index: (-difference[index], index))[: self.request.samples]
        tuned = self.request.models_dir / best.key
        models = {untuned.key: self.request.model_dir, **({best.key: tuned} if _scores_tokens(tuned) else {})}
        keys = (untuned.key, best.key)
        of_both = {key: evaluations[key] for key in keys}
        self._chosen.append(_Chosen(distribution, file, sorted(largest), of_both, models))
        return True

    def write(self, folder: Path) -> None:
        """Compute the scores and write the script files of all distributions with chosen samples to `folder`."""
        if self._without:
            self.notes.append(
                f"no log-probabilities by token for {', '.join(self._without)}, because the untuned model "
                f"({self.request.baseline} of {self.request.model_dir.resolve().name}) or a model that was tuned on "
                "another distribution has no evaluation there"
            )
        found: dict[tuple[str, str], dict[tuple[int, str], Tokens]] = {}
        with TemporaryDirectory(prefix="genies-token-scores-") as place:
            for number, (model_dir, options, of_model) in enumerate(self._by_model()):
                paths = [Path(place) / f"{number}-{count}.json" for count in range(len(of_model))]
                failure = _run(model_dir, options, [each for _, each in of_model], paths)
                for (key, each), path in zip(of_model, paths, strict=True):
                    if path.exists():
                        found[key, each.file] = _read(path)
                    else:
                        self.notes.append(
                            f"{each.distribution.name}: no log-probabilities by token of {key}: {failure}"
                        )
        for each in self._chosen:
            test = {example.index: example for example in each.distribution.test}
            scores: dict[str, dict[int, list[Any]]] = {}
            none: dict[str, str] = {}
            for key, evaluation in each.evaluations.items():
                tokens = found.get((key, each.file))
                if tokens is None:
                    none[key] = NOT_COMPUTED if key in each.models else NOT_SCORED_BY_TOKEN
                elif not _are_scored_by(evaluation, [test[index] for index in each.examples], tokens):
                    none[key] = NOT_SCORED_BY_TOKEN
                else:
                    scores[key] = {index: _of_example(test[index], tokens) for index in each.examples}
            value = {"examples": each.examples, "scores": scores, "none": none}
            write_script(folder / "tokens" / f"{each.file}.js", f"tokens/{each.file}", value)

    def _by_model(self) -> list[tuple[Path, dict[str, Any], list[tuple[str, _Chosen]]]]:
        """The folder of each model, the arguments of its evaluations, and the evaluations' keys and samples."""
        together: dict[str, tuple[Path, dict[str, Any], list[tuple[str, _Chosen]]]] = {}
        for each in self._chosen:
            for key, model_dir in each.models.items():
                options = _options(each.evaluations[key])
                if model_dir != self.request.model_dir:
                    options["base_model_dir"] = str(self.request.model_dir)
                _, _, evaluations = together.setdefault(f"{model_dir} {options}", (model_dir, options, []))
                evaluations.append((key, each))
        return list(together.values())


def _best(scored: Sequence[Scored], distribution: str, baseline: str) -> Scored | None:
    """The first seed of the tuned model with the highest mean accuracy over seeds, as the browser chooses it."""
    of_group: dict[str, list[Scored]] = {}
    for each in scored:
        if each.source not in (None, distribution) and each.intervention not in (baseline, "random"):
            of_group.setdefault(each.group, []).append(each)
    if not of_group:
        return None
    return max(of_group.values(), key=lambda seeds: mean(each.accuracy for each in seeds))[0]


def _scores_tokens(model_dir: Path) -> bool:
    """Whether a tuned model is an adapter that scores by log-probabilities, not by a reward."""
    config = read_json(model_dir / CONFIG, "adapter configuration") if (model_dir / CONFIG).is_file() else None
    is_language_model = isinstance(config, dict) and config.get("task_type") == "CAUSAL_LM"
    return is_language_model and not (model_dir / REWARD_RECORD).is_file()


def _options(evaluation: Evaluation) -> dict[str, Any]:
    """The arguments with which a model scores as in an evaluation."""
    options: dict[str, Any] = {}
    if evaluation.dtype in ("float32", "bfloat16", "float16"):
        options["dtype"] = evaluation.dtype
    if evaluation.prompt_format in ("raw", "chat"):
        options["prompt_format"] = evaluation.prompt_format
    if evaluation.prompt_format == "chat":
        options |= {"system_prompt": evaluation.system_prompt, "chat_template_kwargs": evaluation.chat_template_kwargs}
    return options


def _run(model_dir: Path, options: Mapping[str, Any], chosen: Sequence[_Chosen], paths: Sequence[Path]) -> str:
    """Write the token scores of one model to `paths`, and return the last line of the process's messages."""
    folders = [str(each.distribution.folder) for each in chosen]
    items = evaluation_items(
        str(model_dir),
        folders,
        [str(path) for path in paths],
        {"examples": [each.examples for each in chosen], **options},
    )
    argv = [sys.executable, "-P", "-m", "genies.methods.token_scores", *items]
    print(f"token scores: {model_dir}", file=sys.stderr)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"the process ended with status {done.returncode}"


def _read(path: Path) -> dict[tuple[int, str], Tokens]:
    return {
        (each["example"], each["response"]): [(text, None if p is None else round(p, 3)) for text, p in each["tokens"]]
        for each in read_json(path, "token scores")
    }


def _are_scored_by(
    evaluation: Evaluation, examples: Sequence[Example], tokens: Mapping[tuple[int, str], Tokens]
) -> bool:
    """Whether the scores in an evaluation are means or sums of log-probabilities by token; True if it contains none."""
    stored = {each.example: [*each.best, *each.worse] for each in evaluation.eval_scores or []}
    together = [
        (score, [p for _, p in found if p is not None])
        for example in examples
        for response, score in zip(
            [*example.best_responses, *example.worse_responses], stored.get(example.index, []), strict=False
        )
        if (found := tokens.get((example.index, response)))
    ]
    rounding = 0.05  # of 16-bit weights on another device
    return any(
        all(abs(score - reduced(values)) <= rounding * max(1.0, abs(score)) for score, values in together)
        for reduced in (mean, sum)
    )


def _of_example(example: Example, tokens: Mapping[tuple[int, str], Tokens]) -> list[Any]:
    """The tokens of the best response and of each worse one; None for a best response that is one of several."""
    best = tokens.get((example.index, example.best_response)) if len(example.best) == 1 else None
    return [best, [tokens.get((example.index, text)) for text in example.worse_responses]]
