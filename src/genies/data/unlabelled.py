"""The texts of a distribution without its labels, for interventions that adapt to unlabelled texts of a target.

`write_unlabelled` makes a folder with one file, unlabelled.json: for each training example its prompt and its responses
as a list. Their order is that of a hash of prompt and response, so it does not depend on which one is best.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from genies.data.conversation import as_text
from genies.data.distribution import Distribution, Pair, Sample, read_example
from genies.errors import InputError
from genies.files import json_kind, read_json, write_json

FILE = "unlabelled.json"

_KEPT = ("instruction", "input")
"""Fields from which chat format can take the user's message. Others, such as an id or styles, may tell the label."""


def write_unlabelled(distribution: Path, folder: Path) -> None:
    """Write unlabelled.json of a distribution's train split; `folder` is created."""
    found = Distribution(distribution)
    items: Any = read_json(found.folder / "train.json", "distribution file")
    examples = []
    for example in found.split("train"):
        item = items[example.index]
        prompt = as_text(example.prompt)
        texts = sorted(example.responses, key=lambda text: hashlib.sha256(f"{prompt}\0{text}".encode()).digest())
        kept = {name: item[name] for name in _KEPT if isinstance(item.get(name), str)}
        examples.append({"prompt": item["prompt"], "responses": texts, **kept})
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, examples)


def unlabelled_pairs(folder: Path, max_examples: int | None, sample: Sample, seed: int) -> list[Pair]:
    """One pair of responses for each example of unlabelled.json, drawn with `seed`, in random order.

    Which one is called best says nothing. `max_examples` (all by default) are the first, or with sample="seeded" a
    random sample drawn with `seed`. Raises InputError with the file, the example and the field.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(
            f"--unlabelled_distribution: {path} does not exist; the harness writes it from the target's train.json "
            "(api/train.py --unlabelled_distribution TARGET)"
        )
    value = read_json(path, "file of unlabelled texts")
    if not isinstance(value, list) or not value:
        raise InputError(f"{path} contains {json_kind(value)}; expected a list of at least one example")
    order = list(range(len(value)))
    if max_examples is not None and sample == "seeded":
        random.Random(f"sample {seed}").shuffle(order)
    return [_pair(value[index], index, path, seed) for index in sorted(order[:max_examples])]


def _pair(item: Any, index: int, path: Path, seed: int) -> Pair:
    texts = item.get("responses") if isinstance(item, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or len(set(texts)) < 2:
        raise InputError(f"{path}, example {index}, field responses: expected a list of at least two different texts")
    # The labels that the reader of examples needs are made up: the first response in a drawn order.
    first, second = random.Random(f"unlabelled {seed} {index}").sample(sorted(set(texts)), 2)
    example = read_example({**item, "responses": {first: 1.0, second: 0.0}}, index, path)
    return Pair(index, example.prompt, first, second, example.conversation)
