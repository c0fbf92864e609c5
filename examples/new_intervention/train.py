"""Learn which words speak for a response: logistic regression on bags of words, in plain Python.

Copy this folder, rename it, and put your method where the comments say so. Any library will do: the two scripts
are programs of their own, and the three arguments and the two file formats are all they share with the harness.
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
    parser = argparse.ArgumentParser(description=__doc__)
    # The harness always passes these three, each as two items: --name value.
    parser.add_argument("--model_dir", type=Path, required=True, help="folder of the untuned language model")
    parser.add_argument("--train_distribution", type=Path, required=True, help="folder with train.json")
    parser.add_argument("--output_dir", type=Path, required=True, help="empty folder for whatever eval.py needs")
    # Yours come from --train_kwargs '{"seed": 1}'. They need defaults: without kwargs, nothing else is passed.
    parser.add_argument("--seed", type=int, default=0, help="decides the draw and the order of pairs")
    parser.add_argument("--passes", type=int, default=20, help="how often training goes through all pairs")
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--max_examples", type=int, default=None, help="use N examples (default: all)")
    parser.add_argument("--sample", choices=["first", "seeded"], default="first", help="which N: the first, or drawn")
    return parser.parse_args()


def read_examples(path, max_examples):
    """A list of {"prompt": text, "responses": {text: 1.0 for the best, 0.0 for the others}}."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))[:max_examples]  # as some editors save it
    except (OSError, ValueError) as error:
        # Never go on without the data: a figure for data that was not read would stand in the table.
        print(f"cannot read {path}: {error}", file=sys.stderr)
        sys.exit(2)  # 2 tells the harness that the input was at fault, not this script


def draw(examples, args):
    """The training examples to use. Drawn with the seed, several seeds show how much depends on the examples too."""
    if args.max_examples is None or args.sample == "first":
        return examples[: args.max_examples]
    order = list(range(len(examples)))
    random.Random(f"sample {args.seed}").shuffle(order)
    return [examples[place] for place in sorted(order[: args.max_examples])]


def pairs(example):
    """The best response with each worse one, 1 to 3 pairs, the worse ones in file order."""
    responses = example["responses"]
    best = max(responses, key=responses.get)
    return [(best, worse) for worse in responses if worse != best]


def features(prompt, response):
    """Your view of a text. A bag of words needs no model; activations or rewards of the one in --model_dir would
    take its place. A response is seen by itself, never next to the others: their order must not matter."""
    return Counter(re.findall(r"\w+", response.lower()))


def score(weights, prompt, response):
    return sum(weights.get(word, 0.0) * count for word, count in features(prompt, response).items())


def sigmoid(x):
    # Both branches keep exp() from overflowing.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def train(examples, args):
    weights = {}
    everything = [(example["prompt"], *pair) for example in examples for pair in pairs(example)]
    # A generator of our own with a given seed: the same command gives the same weights on any day.
    draw = random.Random(args.seed)
    for number in range(args.passes):
        draw.shuffle(everything)
        loss = 0.0
        for prompt, best, worse in everything:
            p = sigmoid(score(weights, prompt, best) - score(weights, prompt, worse))
            loss -= math.log(max(p, 1e-12))
            # The gradient of -log p, where p is the probability that the best response is the better one.
            for text, sign in ((best, 1), (worse, -1)):
                for word, count in features(prompt, text).items():
                    weights[word] = weights.get(word, 0.0) + sign * args.learning_rate * (1 - p) * count
        # Whatever is printed goes to the log of this step.
        print(f"pass {number + 1}: mean loss {loss / len(everything):.4f}")
    return weights


if __name__ == "__main__":
    args = arguments()
    weights = train(draw(read_examples(args.train_distribution / "train.json", None), args), args)
    # Only --output_dir is yours to write to. It becomes the --model_dir of eval.py, so anything eval.py needs of the
    # untuned model must be named in here.
    with open(args.output_dir / "weights.json", "w", encoding="utf-8") as file:
        json.dump({"base_model_dir": str(args.model_dir), "weights": weights}, file, ensure_ascii=False)
