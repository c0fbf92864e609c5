"""Measure how often the words learned by train.py prefer the best response. See train.py."""

import argparse
import json
from pathlib import Path

# Training and evaluation must read text in the same way, so the functions are shared.
from train import pairs, read_examples, score, sigmoid


def arguments():
    # With allow_abbrev, argparse accepts --max_exam for --max_examples, and a misspelt argument goes unnoticed.
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--model_dir", type=Path, required=True, help="the output_dir of train.py")
    # Two JSON lists of equal length, each one command-line item, as in '["d1", "d2"]'. One run evaluates several
    # distributions, so that a large model is loaded only once.
    parser.add_argument("--distribution_dirs", type=json.loads, required=True, help="folders with test.json")
    parser.add_argument("--output_paths", type=json.loads, required=True, help="a JSON file to write for each")
    # Your own arguments come from --eval_kwargs.
    parser.add_argument("--max_examples", type=int, default=None, help="use the first N examples (default: all)")
    # With --seeds, both scripts get a seed. Nothing is random here.
    parser.add_argument("--seed", type=int, default=0, help="accepted, without effect")
    return parser.parse_args()


def evaluate(examples, weights):
    # One probability for each pair: examples in order, then the worse responses in file order. Calibration and paired
    # comparisons are computed from them.
    p, indices = [], []
    for index, example in enumerate(examples):
        for best, worse in pairs(example):
            difference = score(weights, example["prompt"], best) - score(weights, example["prompt"], worse)
            p.append(sigmoid(difference))
            indices.append(index)
    # A tie counts half. Otherwise a method that knows nothing would be above or below chance.
    accuracy = sum(1.0 if each > 0.5 else 0.5 if each == 0.5 else 0.0 for each in p) / len(p)
    # Only eval_accuracy is required. Other keys are kept.
    return {
        "eval_accuracy": accuracy,
        "eval_brier_score": sum((1 - each) ** 2 for each in p) / len(p),
        "eval_average_probability": sum(p) / len(p),
        "eval_probabilities": p,
        "eval_example_indices": indices,
        "words_known": len(weights),
    }


if __name__ == "__main__":
    args = arguments()
    weights = json.loads((args.model_dir / "weights.json").read_text(encoding="utf-8"))["weights"]
    for distribution_dir, output_path in zip(args.distribution_dirs, args.output_paths, strict=True):
        # read_examples exits with status 2 if the file cannot be read. Files already written for other distributions
        # are kept.
        examples = read_examples(Path(distribution_dir) / "test.json", args.max_examples)
        with open(output_path, "w", encoding="utf-8") as file:
            json.dump(evaluate(examples, weights), file)
