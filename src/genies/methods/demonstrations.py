"""Demonstrations: prompts with their best responses, written before the prompt that is evaluated."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genies.data.conversation import Message, Prompt, as_json, as_text, read_prompt
from genies.data.distribution import Example, Pair
from genies.errors import InputError
from genies.files import read_json, write_json
from genies.lm.text_format import RAW, TextFormat

if TYPE_CHECKING:
    from genies.lm.text import TokenSequence
    from genies.methods.responses import EncodedPairs

FILE_NAME = "demonstrations.json"

_CHAT = TextFormat("chat")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and its best response."""

    prompt: Prompt
    """A text in raw format, a conversation in chat format."""
    response: str


@dataclass(frozen=True)
class Demonstrations:
    """The demonstrations of an evaluation, or the pool from which they are drawn."""

    num_shots: int
    """Number of demonstrations before each prompt."""
    resample: bool
    """Whether they are drawn from `pool` for each example; if not, they are the pool."""
    pool: list[Demonstration]

    def of_example(self, index: int, seed: int) -> list[Demonstration]:
        """The demonstrations of the example at `index`, in order; with `resample`, they depend on seed and index."""
        if not self.resample:
            return self.pool
        return random.Random(f"{seed} {index}").sample(self.pool, self.num_shots)

    def save(self, folder: Path) -> None:
        """Write demonstrations.json."""
        pool = [{"prompt": as_json(each.prompt), "response": each.response} for each in self.pool]
        write_json(folder / FILE_NAME, {"num_shots": self.num_shots, "resample": self.resample, "pool": pool})

    @classmethod
    def load(cls, folder: Path) -> Demonstrations:
        """Load what `save` wrote; InputError if it is missing, as in an untuned model's folder, or damaged."""
        path = folder / FILE_NAME
        if not path.is_file():
            untuned = " (it is an untuned model)" if (folder / "config.json").is_file() else ""
            raise InputError(
                f"--model_dir {folder} contains no {FILE_NAME}{untuned}; few_shot needs demonstrations from a source "
                "distribution: expected the output folder of its train.py"
            )
        value = read_json(path, "demonstrations")

        def fault(expected: str) -> InputError:
            return InputError(f"{path} is damaged (prompt: {expected}); train again")

        try:
            pool = [Demonstration(read_prompt(each["prompt"], fault), each["response"]) for each in value["pool"]]
            found = cls(int(value["num_shots"]), bool(value["resample"]), pool)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error!r}); train again") from None
        if not all(isinstance(each.response, str) for each in pool) or not 1 <= found.num_shots <= len(pool):
            raise InputError(
                f"{path} is damaged: expected texts as responses, and num_shots from 1 to the number of "
                "demonstrations; train again"
            )
        return found


def draw_demonstrations(
    source: Path,
    examples: Sequence[Example],
    num_shots: int,
    resample: bool,
    seed: int,
    text_format: TextFormat = RAW,
) -> Demonstrations:
    """Draw `num_shots` examples with `seed` without replacement; with `resample`, keep all for eval.py to draw from.
    Their prompts are in `text_format`, without a system message that it adds.

    Raises InputError, which names the distribution `source`, for fewer examples than shots.
    """
    if len(examples) < num_shots:
        raise InputError(
            f"--num_shots {num_shots}: {source} has only {len(examples)} training examples to draw from "
            "(--max_examples limits them); use fewer shots"
        )
    chosen = examples if resample else random.Random(seed).sample(examples, num_shots)
    plain = replace(text_format, system_prompt=None)
    shown = [Demonstration(plain.prompt(each.prompt, each.conversation), each.best_response) for each in chosen]
    return Demonstrations(num_shots, resample, shown)


def prompt_after(demonstrations: Sequence[Demonstration], prompt: Prompt) -> Prompt:
    r"""The prompt after demonstrations: texts separated by blank lines, or earlier turns of the conversation.

    System messages of demonstrations are left out; that of the prompt remains the first message.

    >>> prompt_after([Demonstration("Q: 1 + 1?\nA:", " 2")], "Q: 1 + 2?\nA:")
    'Q: 1 + 1?\nA: 2\n\nQ: 1 + 2?\nA:'
    """
    if isinstance(prompt, str):
        return "".join(f"{as_text(each.prompt)}{each.response}\n\n" for each in demonstrations) + prompt
    system = prompt[:1] if prompt[0].role == "system" else ()
    turns = [
        message
        for each in demonstrations
        for message in (*_CHAT.prompt(each.prompt), Message("assistant", each.response))
        if message.role != "system"
    ]
    return (*system, *turns, *prompt[len(system) :])


@dataclass(frozen=True)
class Demonstrated:
    """Pairs whose prompts begin with demonstrations."""

    pairs: list[Pair]
    num_shots: int
    shots: dict[int, int]
    """Number of demonstrations before the prompt of each example, by index."""

    def groups(self, encoded: EncodedPairs) -> list[list[TokenSequence]]:
        """The token sequences of `encoded`, grouped by the number of demonstrations.

        If all examples have the same demonstrations, the sequences of a group share a prefix.
        """
        found: dict[int, list[TokenSequence]] = {}
        for pair, best, worse in zip(encoded.pairs, encoded.best, encoded.worse, strict=True):
            found.setdefault(self.shots[pair.example_index], []).extend((best, worse))
        return list(found.values())

    def counts(self, encoded: EncodedPairs) -> dict[str, int]:
        """Keys of the evaluation file: demonstrations per prompt, and how many were dropped from how many examples."""
        dropped = [self.num_shots - self.shots[index] for index in {pair.example_index for pair in encoded.pairs}]
        return {
            "eval_demonstrations": self.num_shots,
            "eval_dropped_demonstrations": sum(dropped),
            "eval_examples_with_dropped_demonstrations": sum(each > 0 for each in dropped),
        }


def demonstrate(
    demonstrations: Demonstrations,
    pairs: Sequence[Pair],
    tokenizer: Any,
    context_length: int | None,
    seed: int,
    text_format: TextFormat = RAW,
) -> Demonstrated:
    """Write demonstrations before the prompts of pairs.

    If a response of an example does not fit into `context_length` tokens, demonstrations are dropped, starting with the
    one farthest from the prompt. All pairs of an example have the same demonstrations.
    """
    from genies.lm.text import encode

    pairs = text_format.pairs(pairs)
    chosen = {index: demonstrations.of_example(index, seed) for index in {pair.example_index for pair in pairs}}
    waiting = list(pairs) if context_length is not None else []
    while waiting:
        texts = list(
            dict.fromkeys(
                (prompt_after(chosen[pair.example_index], pair.prompt), response, pair.example_index)
                for pair in waiting
                for response in (pair.best, pair.worse)
            )
        )
        found = [(prompt, response) for prompt, response, _ in texts]
        sequences = encode(tokenizer, found, text_format.template_kwargs)
        too_long = {
            index
            for (_, _, index), sequence in zip(texts, sequences, strict=True)
            if context_length is not None and len(sequence.ids) > context_length and chosen[index]
        }
        for index in too_long:
            chosen[index] = chosen[index][1:]
        waiting = [pair for pair in waiting if pair.example_index in too_long]
    return Demonstrated(
        [replace(pair, prompt=prompt_after(chosen[pair.example_index], pair.prompt)) for pair in pairs],
        demonstrations.num_shots,
        {index: len(each) for index, each in chosen.items()},
    )
