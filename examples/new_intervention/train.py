"""Learn which words occur in better responses: logistic regression on bags of words, in plain Python.

Copy this folder, rename it, and put your method where the comments say so. The two scripts are independent programs
and may use any library. They share three arguments and two file formats with the harness, and nothing else.
"""

import argparse
import json
import math
import random
import re
import sys
from collections import Counter
from pathlib import Path


def arguments():
    # With allow_abbrev, argparse accepts --max_exam for --max_examples, and a misspelt argument goes unnoticed.
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    # The harness always passes these three, each as two command-line items: --name value.
    parser.add_argument("--model_dir", type=Path, required=True, help="folder of the untuned language model")
    parser.add_argument("--train_distribution", type=Path, required=True, help="folder with train.json")
    parser.add_argument("--output_dir", type=Path, required=True, help="empty folder for whatever eval.py needs")
    # Your own arguments come from --train_kwargs, as in '{"seed": 1}'. Give them defaults, because they are optional.
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of examples and of the order of pairs")
    parser.add_argument("--passes", type=int, default=20, help="passes over all pairs")
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--max_examples", type=int, default=None, help="use N examples (default: all)")
    parser.add_argument("--sample", choices=["first", "seeded"], default="first", help="which N: the first, or drawn")
    return parser.parse_args()


def read_examples(path, max_examples=None):
    """A list of {"prompt": text, "responses": {text: 1.0 for the best, 0.0 for the others}}."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))[:max_examples]  # some editors add a byte order mark
    except (OSError, ValueError) as error:
        # Do not continue without the data: the table would contain a result for data that was not read.
        print(f"cannot read {path}: {error}", file=sys.stderr)
        sys.exit(2)  # status 2 means that the input was at fault, not this script


def draw(examples, args):
    """The training examples to use. Drawn with the seed, several seeds show how much depends on the examples too."""
    if args.max_examples is None or args.sample == "first":
        return examples[: args.max_examples]
    order = list(range(len(examples)))
    random.Random(f"sample {args.seed}").shuffle(order)
    return [examples[place] for place in sorted(order[: args.max_examples])]


def pairs(example):
    """The best response with each worse one, in file order."""
    responses = example["responses"]
    best = max(responses, key=responses.get)
    return [(best, worse) for worse in responses if worse != best]


def features(prompt, response):
    """What your method sees of a text. A bag of words needs no model; use activations or rewards of the model in
    --model_dir instead. Look at each response by itself, because the order of the responses must not matter."""
    return Counter(re.findall(r"\w+", response.lower()))


def score(weights, prompt, response):
    return sum(weights.get(word, 0.0) * count for word, count in features(prompt, response).items())


def sigmoid(x):
    # Two branches, so that exp() cannot overflow.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def train(examples, args):
    weights = {}
    everything = [(example["prompt"], *pair) for example in examples for pair in pairs(example)]
    # A generator with a fixed seed: the same command always gives the same weights.
    draw = random.Random(args.seed)
    for number in range(args.passes):
        draw.shuffle(everything)
        loss = 0.0
        for prompt, best, worse in everything:
            p = sigmoid(score(weights, prompt, best) - score(weights, prompt, worse))
            loss -= math.log(max(p, 1e-12))
            # The gradient of -log p, where p is the probability given to the best response.
            for text, sign in ((best, 1), (worse, -1)):
                for word, count in features(prompt, text).items():
                    weights[word] = weights.get(word, 0.0) + sign * args.learning_rate * (1 - p) * count
        # Output goes to the log file of this step.
        print(f"pass {number + 1}: mean loss {loss / len(everything):.4f}")
    return weights


if __name__ == "__main__":
    args = arguments()
    weights = train(draw(read_examples(args.train_distribution / "train.json"), args), args)
    # Write to --output_dir only. It becomes the --model_dir of eval.py, so save whatever eval.py needs to know about
    # the untuned model.
    with open(args.output_dir / "weights.json", "w", encoding="utf-8") as file:
        json.dump({"base_model_dir": str(args.model_dir), "weights": weights}, file, ensure_ascii=False)
