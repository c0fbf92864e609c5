"""Arguments of every command that runs a language model. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from genies.command_line import NO_EFFECT, Arguments


class ModelArguments(Arguments):
    """Arguments that select how the base model is run."""

    device: Annotated[Literal["auto", "cpu", "cuda"], NO_EFFECT] = "auto"
    """Device of the model; auto is a GPU if there is one, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; auto is bfloat16 on a GPU that supports it, else float32."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """torch.set_float32_matmul_precision; lower values are faster on some machines and change float32 results
    slightly."""
    device_map: Annotated[Literal["none", "auto"], NO_EFFECT] = "none"
    """auto spreads a model that does not fit on one GPU over all GPUs, which then work in turn. Not together with
    --processes_per_step."""
    quantization: Literal["none", "nf4"] = "none"
    """nf4 stores the weights in 4 bits (Dettmers et al. 2023); needs a GPU and the package bitsandbytes. Not for whole
    reward models."""
    prompt_format: Literal["auto", "raw", "chat"] = "auto"
    """raw: prompt and response as they are, one after the other. chat: a conversation that the model's own chat
    template renders. auto: chat for published reward models with a chat template, the format of training for tuned
    models, else raw."""
    system_prompt: str | None = None
    """System message of conversations that have none; chat format only."""
    chat_template_kwargs: dict[str, Any] | None = None
    """Variables of the chat template, such as {"enable_thinking": false} for Qwen 3; chat format only."""
    no_cache: Annotated[bool, NO_EFFECT] = False
    """Do not read or write the activation cache; the results are the same."""
    cache_gb: Annotated[float, Field(gt=0, allow_inf_nan=False), NO_EFFECT] = 10.0
    """Maximum size of the activation cache in 10^9 bytes; the least recently used activations are deleted first. The
    cache is in .cache/genies of the checkout, else of the home folder, or in the folder that the environment variable
    GENIES_CACHE names."""

    def chat_options(self) -> list[str]:
        """The names of the given arguments that have an effect in chat format only."""
        return [name for name in ("system_prompt", "chat_template_kwargs") if getattr(self, name) is not None]
