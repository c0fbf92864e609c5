"""Last-token activations of the two responses of pairs, under a model in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genies.data.distribution import Pair
from genies.errors import InputError, speaks_of_arguments
from genies.library.models import borrowed
from genies.library.texts import encode_texts
from genies.lm.activations import count_heads, last_token_activations
from genies.lm.model import LanguageModel
from genies.lm.sites import ReadAt, Site, SiteKind, all_sites


@dataclass(frozen=True)
class PairActivations:
    """Activations of both responses of each pair.

    >>> found = PairActivations(np.ones((3, 2, 4), "float32"), np.zeros((3, 2, 4), "float32"), [Site(0), Site(1)])
    >>> found.differences.shape, found.differences[0, 0]
    ((3, 2, 4), array([1., 1., 1., 1.], dtype=float32))
    """

    best: NDArray[np.float32]
    """[pairs, sites, width]: the width of a head for heads, the hidden size for blocks."""
    worse: NDArray[np.float32]
    sites: list[Site]
    """What the second axis runs over."""

    @property
    def differences(self) -> NDArray[np.float32]:
        """best - worse, [pairs, sites, width]."""
        return self.best - self.worse


@speaks_of_arguments
def read_activations(
    model: Any,
    pairs: Sequence[Pair],
    sites: SiteKind | Sequence[Site] = "blocks",
    read_at: ReadAt = "last_response",
    *,
    tokenizer: Any = None,
    prompt_format: Literal["raw", "chat"] = "raw",
    system_prompt: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    batch_tokens: int | None = None,
    progress: bool = False,
) -> PairActivations:
    """Read the activations that represent each response of each pair.

    model: a model of genies.load_model, or a transformers model with its `tokenizer`, which is afterwards as it was
    before. sites: blocks, the hidden state after each of them; heads, each attention head's input of the output
    projection; or a list of sites of one kind. read_at: the response's last token, or the end-of-text or end-of-turn
    token after it. prompt_format, system_prompt, chat_template_kwargs: as in score_pairs. batch_tokens: tokens in one
    forward pass (default: 1,024 on a CPU, 4,096 on a GPU).

    Nothing is stored on disk. Raises InputError for a site that the model does not have, and for a text that does not
    fit into its context.

    >>> pair = genies.Pair(0, prompt="2 + 2 =", best=" 4", worse=" 5")
    >>> genies.read_activations(model, [pair], [Site(0), Site(3)]).best.shape  # doctest: +SKIP
    (1, 2, 576)
    """
    if read_at not in get_args(ReadAt):
        raise InputError(f"read_at: expected {' or '.join(map(repr, get_args(ReadAt)))}, got {read_at!r}")
    with borrowed(model, tokenizer) as language_model:
        chosen = _chosen(language_model, sites)
        chat = (prompt_format, system_prompt, chat_template_kwargs)
        texts = encode_texts(language_model.tokenizer, language_model.context_length, pairs, *chat)
        ids = [sequence.read_until(read_at) for sequence in texts.sequences]
        label = "reading activations" if progress else ""
        found = last_token_activations(language_model, ids, chosen, batch_tokens, label)
    if not np.isfinite(found).all():
        raise InputError("model: it gives activations that are not numbers; load it in float32")
    return PairActivations(found[texts.best], found[texts.worse], chosen)


def _chosen(model: LanguageModel, sites: SiteKind | Sequence[Site]) -> list[Site]:
    heads = count_heads(model.decoder)
    known = {kind: all_sites(len(heads), heads, kind) for kind in get_args(SiteKind)}
    if isinstance(sites, str):
        if sites not in known:
            raise InputError(f"sites: expected {' or '.join(map(repr, known))} or a list of genies.Site, got {sites!r}")
        chosen = known[sites]
        if not chosen:
            raise InputError(f"sites: {model.folder} has no attention heads")
        return chosen
    chosen = list(sites)
    if not chosen or not all(isinstance(site, Site) for site in chosen):
        raise InputError("sites: expected at least one genies.Site, and nothing else in the list")
    if len({site.layer.kind for site in chosen}) > 1:
        raise InputError("sites: heads and blocks have different widths; read each kind in a call of its own")
    for site in chosen:
        if site not in known[site.layer.kind]:
            raise InputError(f"sites: {site} is not in the model: {len(heads)} blocks, with {heads} heads")
    return chosen
