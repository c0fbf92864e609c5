"""Forward passes over many token sequences in batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from genies.errors import InputError
from genies.lm.attention import attending
from genies.lm.capability import is_out_of_memory, sparse_edge
from genies.lm.model import LanguageModel
from genies.lm.packing import Row, pack, plan_rows
from genies.lm.shared_cache import LEAST_CONTINUED, continued_states, plan_continued, shared_beginning

DEFAULT_BATCH_TOKENS = {"cpu": 1024, "cuda": 4096}
"""Tokens in one forward pass. With fewer, matrices are too small to be fast; with more, only the memory use grows."""


@dataclass(frozen=True)
class Batch:
    """Several of the requested sequences in one forward pass."""

    sequences: list[int]
    """Indices of the sequences in the request."""
    ids: Tensor
    """Token ids [rows, tokens]."""
    places: list[list[int]]
    """For each sequence, the indices of its tokens in the flattened `ids`."""
    row: Row | None
    """How `ids` is packed; None if each row is one sequence, padded on the right."""
    beginning: Tensor | None = None
    """Token ids [1, tokens] with which all sequences begin, if `ids` contains only the rests. The flattened tokens are
    then those of the beginning, followed by those of `ids`."""


def run_batches(
    model: LanguageModel,
    sequences: Sequence[Sequence[int]],
    body: Callable[[Batch], None],
    batch_tokens: int | None = None,
    label: str = "reading",
    continuing: bool = False,
) -> int:
    """Call `body` with batches that together contain every sequence once; out of memory, with smaller batches.

    label: text of the progress bar; empty for none. continuing: whether `body` supports batches with a beginning, as
    `hidden_states` does, but not `call`.

    Returns the number of tokens, including padding, in the forward passes that succeeded.

    `body` runs the forward pass and stores its results. It may be called again for the sequences of a failed batch.
    A batch has at most `batch_tokens` tokens, unless a single sequence has more.
    """
    check_ids(model, sequences)
    budget = batch_tokens or DEFAULT_BATCH_TOKENS[model.device.type]
    continuing = continuing and model.continues and rope_edge(model) is None
    waiting = list(range(len(sequences)))
    computed = 0
    bar = tqdm(
        total=sum(len(sequence) for sequence in sequences),
        desc=label,
        unit="token",
        unit_scale=True,
        file=sys.stderr,
        mininterval=0.1 if sys.stderr.isatty() else 10,
        leave=False,
        disable=not label,
    )
    with bar, torch.inference_mode():
        while waiting:
            done: set[int] = set()
            try:
                for indices in _plan(model, [sequences[index] for index in waiting], budget, continuing):
                    members = [waiting[index] for index in indices]
                    batch = _batch(model, sequences, members, continuing)
                    body(batch)
                    computed += batch.ids.numel() + (0 if batch.beginning is None else batch.beginning.numel())
                    done.update(members)
                    bar.update(sum(len(sequences[index]) for index in members))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if budget <= 1:
                    longest = max(len(sequences[index]) for index in waiting if index not in done)
                    raise InputError(
                        f"out of memory on {model.device} with one sequence of at most {longest} tokens in a forward "
                        "pass; use a device with more memory, --dtype bfloat16, or shorter examples"
                    ) from None
                budget = max(1, budget // 2)
                print(f"out of memory on {model.device}: continuing with --batch_tokens {budget}", file=sys.stderr)
            if model.device.type == "cuda" and len(done) < len(waiting):
                torch.cuda.empty_cache()
            waiting = [index for index in waiting if index not in done]
    return computed


def check_ids(model: LanguageModel, sequences: Sequence[Sequence[int]], virtual_tokens: int = 0) -> None:
    """Raise InputError for a token id without an embedding.

    virtual_tokens: number of embeddings at the end that are virtual tokens and are not allowed in texts.
    """
    vocabulary = model.network.get_input_embeddings().weight.shape[0] - virtual_tokens
    highest = max((max(sequence) for sequence in sequences), default=0)
    if highest >= vocabulary:
        raise InputError(
            f"the tokenizer in {model.tokenizer.name_or_path} returns token id {highest}, but the model in "
            f"{model.folder} has only {vocabulary} tokens: they do not belong together; download the model again"
        )


def hidden_states(model: LanguageModel, batch: Batch) -> Tensor:
    """Last hidden states [rows * tokens, width] of a batch, after the final norm; of a beginning, those come first."""
    if batch.beginning is not None:
        lengths = [len(places) - batch.beginning.shape[1] for places in batch.places]
        return continued_states(model.decoder, batch.beginning, batch.ids, lengths)
    output = call(model, model.decoder, batch)
    hidden: Tensor = output.last_hidden_state
    return hidden.flatten(0, 1)


def call(model: LanguageModel, network: Any, batch: Batch) -> Any:
    """Output of `network`, which is the model's network or its decoder, for a batch."""
    if batch.row is None:
        lengths = torch.tensor([len(places) for places in batch.places])
        mask = (torch.arange(batch.ids.shape[1]) < lengths[:, None]).long()
        # Without padding no mask is passed, so this is the plain forward pass however the model treats masks.
        given = None if bool(mask.all()) else mask.to(model.device)
        return network(batch.ids, attention_mask=given, use_cache=False)
    positions = torch.tensor([batch.row.positions], device=model.device)
    with attending(batch.row):
        return network(batch.ids, position_ids=positions, use_cache=False)


def rope_edge(model: LanguageModel) -> int | None:
    """Sequence length above which rotary frequencies change; None if they do not depend on the length.

    With "longrope" (Phi-3), frequencies depend on the longest sequence of a forward pass, so shorter and longer
    sequences must not share one.
    """
    rope = getattr(model.decoder.config, "rope_parameters", None) or {}
    found = [each for each in (rope, *rope.values()) if isinstance(each, dict) and each.get("rope_type") == "longrope"]
    return next((each.get("original_max_position_embeddings") for each in found), None)


def company(model: LanguageModel, length: int) -> tuple[bool, int]:
    """A key by sequence length: sequences may share a forward pass if their keys are equal.

    If rotary frequencies depend on the longest sequence of a pass, shorter and longer ones need different passes.
    If padding changes results, only sequences of equal length share a pass.
    """
    edge = rope_edge(model)
    sparse = sparse_edge(model.decoder.config)
    alone = not model.pads or (sparse is not None and length > sparse)
    return edge is not None and length > edge, length if alone else 0


def _plan(model: LanguageModel, sequences: Sequence[Sequence[int]], budget: int, continuing: bool) -> list[list[int]]:
    if continuing:
        groups = plan_continued(sequences, budget, LEAST_CONTINUED[model.device.type])
        alone = [group[0] for group in groups if len(group) == 1]
        rest = _plan(model, [sequences[index] for index in alone], budget, False)
        return [group for group in groups if len(group) > 1] + [[alone[place] for place in batch] for batch in rest]
    companies: dict[tuple[bool, int], list[int]] = {}
    for index, sequence in enumerate(sequences):
        companies.setdefault(company(model, len(sequence)), []).append(index)
    return [
        [group[place] for place in batch]
        for _, group in sorted(companies.items(), reverse=not model.packs)  # longest first if grouped by length
        for batch in _plan_company(model, [sequences[index] for index in group], budget)
    ]


def _plan_company(model: LanguageModel, sequences: Sequence[Sequence[int]], budget: int) -> list[list[int]]:
    if model.packs:
        return plan_rows(sequences, budget)
    # Longest first, so that memory runs out in the first batch or never; similar lengths together, for little padding.
    batches: list[list[int]] = []
    for index in sorted(range(len(sequences)), key=lambda index: (-len(sequences[index]), index)):
        if batches and (len(batches[-1]) + 1) * len(sequences[batches[-1][0]]) <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _batch(model: LanguageModel, sequences: Sequence[Sequence[int]], members: list[int], continuing: bool) -> Batch:
    chosen = [sequences[index] for index in members]
    if model.packs:
        row = pack(chosen)
        ids = torch.tensor([row.ids], device=model.device)
        return Batch(members, ids, [row.indices(place) for place in range(len(chosen))], row)
    shared = shared_beginning(chosen, LEAST_CONTINUED[model.device.type]) if continuing else 0
    width = max(map(len, chosen)) - shared
    rests = [list(sequence[shared:]) for sequence in chosen]
    padded = torch.tensor([[*rest, *(width - len(rest)) * [0]] for rest in rests], device=model.device)
    places = [
        [*range(shared), *(shared + line * width + step for step in range(len(rest)))]
        for line, rest in enumerate(rests)
    ]
    beginning = torch.tensor([list(chosen[0][:shared])], device=model.device) if shared else None
    return Batch(members, padded, places, None, beginning)
