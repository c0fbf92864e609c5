"""Measure how often the words that train.py learnt prefer the best response. See train.py."""

import argparse
import json
from pathlib import Path

# Text is read by the same functions as in training: a second version of them is how results go wrong unseen.
from train import pairs, read_examples, score, sigmoid


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_dir", type=Path, required=True, help="folder that train.py filled")
    # Two JSON lists of one length, each a single item, as '["d1", "d2"]'. One run takes many distributions, so that a
    # large model is loaded once.
    parser.add_argument("--distribution_dirs", type=json.loads, required=True, help="folders with test.json")
    parser.add_argument("--output_paths", type=json.loads, required=True, help="a JSON file to write for each")
    # Yours come from --eval_kwargs.
    parser.add_argument("--max_examples", type=int, default=None, help="use the first N examples (default: all)")
    # With --seeds both scripts are given one; nothing is drawn here.
    parser.add_argument("--seed", type=int, default=0, help="taken, and not needed")
    return parser.parse_args()


def evaluate(examples, weights):
    # One probability for each pair, in example order and the worse responses in file order: what the harness needs
    # to say which pairs two interventions disagree on.
    p, indices = [], []
    for index, example in enumerate(examples):
        for best, worse in pairs(example):
            difference = score(weights, example["prompt"], best) - score(weights, example["prompt"], worse)
            p.append(sigmoid(difference))
            indices.append(index)
    # A tie counts half: otherwise a method that knows nothing would look better or worse than chance.
    accuracy = sum(1.0 if each > 0.5 else 0.5 if each == 0.5 else 0.0 for each in p) / len(p)
    # Only eval_accuracy is required. Keys of your own are kept.
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
        # read_examples ends the script with status 2 when there is nothing to read; files that were written for
        # other distributions before count all the same.
        examples = read_examples(Path(distribution_dir) / "test.json", args.max_examples)
        with open(output_path, "w", encoding="utf-8") as file:
            json.dump(evaluate(examples, weights), file)
