"""The log-probability of each token of some responses, for the report.

    python -m genies.methods.token_scores --model_dir M --distribution_dirs '["d"]' --examples '[[3, 17]]' \
--output_paths '["tokens.json"]'

An output file contains a list of {"example": index in test.json, "response": text, "tokens": [[text, log-probability],
...]}. The texts of a response's tokens together are the response. The log-probability (natural logarithm) of a token
without a token before it is null.
"""

from __future__ import annotations

from pathlib import Path

from genies.adapter_base import CONFIG
from genies.contract import run
from genies.data.distribution import Distribution, Pair, pairs
from genies.errors import InputError
from genies.files import write_json
from genies.methods.each_distribution import for_each_distribution
from genies.methods.training.arguments import TunedModelArguments


class TokenScoreArguments(TunedModelArguments):
    """Write the log-probability of each token of some responses, under an untuned model or an adapter."""

    examples: list[list[int]]
    """For each distribution, the indices of the test examples."""


def write_token_scores(args: TokenScoreArguments) -> None:
    if len(args.examples) != len(args.distribution_dirs):
        raise InputError(
            f"--examples has {len(args.examples)} lists, but --distribution_dirs has {len(args.distribution_dirs)} "
            "folders; expected one list for each folder"
        )
    tests = [
        [pair for pair in pairs(Distribution(folder).test) if pair.example_index in chosen]
        for folder, chosen in zip(args.distribution_dirs, args.examples, strict=True)
    ]

    from genies.lm.model import load_model
    from genies.lm.scoring import token_log_probabilities
    from genies.lm.text import response_pieces
    from genies.lm.text_format import evaluation_format
    from genies.methods.responses import encode_pairs
    from genies.methods.training.load_adapters import load_language_adapter

    if (args.model_dir / CONFIG).is_file():
        model = load_language_adapter(args.model_dir, args)
    else:
        model = load_model(args.model_dir, args)
    text_format = evaluation_format(args, args.model_dir, model.tokenizer, args.allow_format_change)

    def write_one(folder: Path, path: Path, test: list[Pair]) -> None:
        encoded = encode_pairs(model.tokenizer, model.context_length, test, folder, text_format)
        texts = {}
        for pair, best, worse in zip(text_format.pairs(encoded.pairs), encoded.best, encoded.worse, strict=True):
            for response, sequence in ((pair.best, best), (pair.worse, worse)):
                texts[pair.example_index, pair.prompt, response] = sequence
        found = token_log_probabilities(model, list(texts.values()), args.batch_tokens)
        written = []
        for ((index, prompt, response), sequence), values in zip(texts.items(), found, strict=True):
            pieces = response_pieces(model.tokenizer, prompt, response, sequence, text_format.template_kwargs)
            without = [None] * (len(pieces) - len(values))
            tokens = list(zip(pieces, [*without, *values.tolist()], strict=True))
            written.append({"example": index, "response": response, "tokens": tokens})
        write_json(path, written)

    for_each_distribution(args, tests, write_one)


if __name__ == "__main__":
    run(write_token_scores)
