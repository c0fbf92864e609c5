"""Train several reward models on one source, which differ by their seeds, and combine their rewards.

Coste et al. 2023 (arXiv 2310.02743): the mean of the members' rewards, or the lowest of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.files import read_json, write_json
from genies.lm.text import TokenSequence
from genies.lm.text_format import FILE_NAME as FORMAT_RECORD
from genies.lm.text_format import evaluation_format
from genies.methods.base_model import read_record, write_base_model
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.protocol import protocol_of, record_protocol
from genies.methods.responses import EncodedPairs, encode_pairs
from genies.methods.training.arguments import EnsembleArguments, EnsembleEvaluationArguments
from genies.methods.training.card import Kind, training_fingerprint
from genies.methods.training.checkpoints import remove_checkpoints
from genies.methods.training.dropout import stable_number
from genies.methods.training.evaluation import load_reward_model, read_tests
from genies.methods.training.record import LOG
from genies.methods.training.reward_model import RewardModel, rewards
from genies.methods.training.tuning import session, tune_lora_reward

RECORD = "ensemble.json"
"""In an ensemble's folder: the mean reward of each member in its last steps of training."""

_FINISHED = "member.json"
_LAST_STEPS = 10


def tune_ensemble(arguments: EnsembleArguments) -> None:
    """Tune the members; member k is a standard adapter in the folder member-<k>."""
    with session(arguments) as accelerator:
        folders = tune_members("lora", arguments, accelerator)
        if accelerator.is_main_process:
            output_dir = arguments.output_dir
            for number, folder in enumerate(folders):
                folder.rename(output_dir / f"member-{number}")
            members = [output_dir / f"member-{number}" for number in range(len(folders))]
            write_json(output_dir / RECORD, {"mean_rewards": [_mean_reward(each) for each in members]})
            if (members[0] / FORMAT_RECORD).is_file():
                shutil.copy(members[0] / FORMAT_RECORD, output_dir)
            write_base_model(output_dir, arguments.model_dir)
            record_protocol(arguments)
            remove_checkpoints(output_dir)


def tune_members(
    kind: Kind,
    arguments: EnsembleArguments,
    accelerator: Any,
    *,
    same_start: bool = False,
    check: Callable[[Any], None] = lambda tuned: None,
) -> list[Path]:
    """Tune the members on the same pairs; returns their folders, checkpoint-member-<k>, which a killed training keeps.

    A member has its own order of pairs and dropout and, without `same_start`, its own initial adapters and head.
    """
    folders = []
    for number in range(arguments.num_members):
        folder = arguments.output_dir / f"checkpoint-member-{number}"
        seed = stable_number(f"member {arguments.seed} {number}") % 2**32
        member = arguments.model_copy(update={"seed": seed, "output_dir": folder})
        mark = {"fingerprint": training_fingerprint(kind, member, member.dtype)}
        folders.append(folder)
        if (folder / _FINISHED).is_file() and read_json(folder / _FINISHED, "record of a member") == mark:
            continue
        start = arguments.seed if same_start else seed
        tune_lora_reward(kind, member, accelerator, initial_seed=start, sample_seed=arguments.seed, check=check)
        if accelerator.is_main_process:
            write_json(folder / _FINISHED, mark)
    accelerator.wait_for_everyone()
    return folders


def _mean_reward(folder: Path) -> float:
    """The mean reward of the responses in the last steps of a member's training."""
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    return float(np.mean([json.loads(line)["mean_score"] for line in lines[-_LAST_STEPS:]]))


def evaluate_ensemble(arguments: EnsembleEvaluationArguments) -> None:
    """Write evaluations with p = softmax of the combined rewards of a pair's two responses.

    They also contain `eval_disagreements`, for each pair the standard deviation over members of the difference of the
    two rewards; their mean, `eval_disagreement`; and `eval_member_accuracies`. One member is in memory at a time.
    """
    tests = read_tests(arguments)
    centres = _read_record(arguments.model_dir)
    prepared: dict[Path, EncodedPairs | InputError] = {}
    extra: dict[str, Any] = {}

    def prepare(model: RewardModel) -> None:
        tokenizer, context = model.language_model.tokenizer, model.language_model.context_length
        text_format = evaluation_format(arguments, arguments.model_dir, tokenizer, arguments.allow_format_change)
        extra.update(model.language_model.description | text_format.description() | protocol_of(arguments))
        extra.update({"assumptions": list(model.assumptions)} if model.assumptions else {})
        for folder, test in zip(arguments.distribution_dirs, tests, strict=True):
            try:
                prepared[folder] = encode_pairs(tokenizer, context, test, folder, text_format)
            except InputError as fault:
                prepared[folder] = fault

    def score(number: int) -> NDArray[np.float64]:
        folder = arguments.model_dir / f"member-{number}"
        model = load_reward_model(arguments.model_copy(update={"model_dir": folder}))
        if not prepared:
            prepare(model)
        ids = [text.ids for text in _texts(prepared.values())]
        return rewards(model, ids, arguments.batch_tokens, f"member {number}") if ids else np.zeros(0)

    found = np.stack([score(number) - centre for number, centre in enumerate(centres)])
    known = dict(zip(_texts(prepared.values()), found.T, strict=True))
    combine = np.mean if arguments.combine == "mean" else np.min

    def evaluate_one(folder: Path, path: Path, _test: list[Pair]) -> None:
        encoded = prepared[folder]
        if isinstance(encoded, InputError):
            raise encoded
        best, worse = (np.array([known[text] for text in texts]) for texts in (encoded.best, encoded.worse))
        scores = combine(best, axis=1), combine(worse, axis=1)
        more = {**extra, **_disagreement(best - worse)}
        write_evaluation(path, folder, encoded.pairs, softmax_of_pair(*scores), encoded.left_out, more, scores)

    for_each_distribution(arguments, tests, evaluate_one)


def _disagreement(margins: NDArray[np.float64]) -> dict[str, Any]:
    """The keys of an evaluation file about margins [pairs, members]."""
    spread = margins.std(axis=1)
    right = (margins > 0) + (margins == 0) / 2
    return {
        "eval_disagreement": float(spread.mean()),
        "eval_member_accuracies": [float(each) for each in right.mean(axis=0)],
        "eval_disagreements": [float(each) for each in spread],
    }


def _texts(prepared: Any) -> Sequence[TokenSequence]:
    """The texts of all distributions, each once."""
    usable = [each for each in prepared if not isinstance(each, InputError)]
    return list(dict.fromkeys(text for each in usable for text in (*each.best, *each.worse)))


def _read_record(folder: Path) -> list[float]:
    value = read_record(folder, RECORD, "record of an ensemble")
    found = value.get("mean_rewards") if isinstance(value, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(each, float) for each in found):
        raise InputError(f"{folder / RECORD}: expected an object with mean_rewards, a list of numbers; train again")
    return found
