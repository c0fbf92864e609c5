"""Reward models of others give the rewards of their own forward passes here: transformers' and PEFT's, one unpadded
text at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from genies.adapter_base import REWARD_RECORD
from genies.errors import InputError
from genies.lm.text import encode
from genies.methods.training.evaluation import load_reward_model
from genies.methods.training.reward_model import RewardModel, rewards
from tests.methods.test_training_results import arguments_for
from tests.support.reward_examples import evaluate, train, write_distribution
from tests.support.tiny_models import make_tokenizer

TEXTS = [
    ("the best", " answer"),
    ("the best", " answer</s>"),
    ("a true</s> answer", " that is</s></s>"),
    ("30 degrees", " or<unk>"),
    ("30 degrees", " or<unk></s>"),
    ("Paris", ""),
]
QUICK: dict[str, Any] = {"num_train_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 0.02}
END, UNKNOWN = 2, 0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source")


def with_config(folder: Path, base: Path, **changes: Any) -> Path:
    """A copy of a causal model whose config has other values, written without transformers' checks."""
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    path = folder / "config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def classifier_of(base: Path, outputs: int = 1, **options: Any) -> Any:
    torch.manual_seed(3)
    network = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=outputs, dtype=torch.float32, **options
    )
    torch.nn.init.normal_(network.score.weight, std=0.3)
    return network.eval()


def publish_whole(folder: Path, base: Path, outputs: int = 1, **options: Any) -> Any:
    """A whole reward model as its author's transformers saves it; the network."""
    network = classifier_of(base, outputs, **options)
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return network


def publish_adapter(folder: Path, base: Path, outputs: int = 1, config: Any = None, network: Any = None) -> Any:
    """An adapter as its author's PEFT saves it; the network."""
    modules = {"gpt2": ["c_attn"], "gpt_neox": ["query_key_value"]}
    config = config or LoraConfig(
        task_type="SEQ_CLS",
        r=2,
        init_lora_weights=False,
        target_modules=modules.get(json.loads((base / "config.json").read_text())["model_type"], ["q_proj", "v_proj"]),
    )
    tuned = get_peft_model(network or classifier_of(base, outputs), config)
    tuned.eval().save_pretrained(folder)
    return tuned


def our_model(folder: Path, **kwargs: Any) -> RewardModel:
    return load_reward_model(arguments_for(folder, **kwargs))


def ours(model: RewardModel, tokenizer: Any = None, texts: Sequence[tuple[str, str]] = TEXTS) -> Any:
    tokenizer = tokenizer or model.language_model.tokenizer
    return rewards(model, [sequence.ids for sequence in encode(tokenizer, texts)])


@torch.inference_mode()
def outputs_of(network: Any, tokenizer: Any, texts: Sequence[tuple[str, str]] = TEXTS) -> Any:
    """Outputs [texts, outputs] of the network's own forward passes."""
    found = [network(input_ids=torch.tensor([each.ids])).logits[0].tolist() for each in encode(tokenizer, texts)]
    return np.array(found)


def own_rewards(network: Any, tokenizer: Any, texts: Sequence[tuple[str, str]] = TEXTS) -> Any:
    return outputs_of(network, tokenizer, texts)[:, 0]


@pytest.mark.parametrize("padding", [END, UNKNOWN, None], ids=["end of text", "another", "none"])
@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_a_model_reads_where_its_own_forward_pass_does(
    kind: str, family: str, padding: int | None, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = with_config(tmp_path / "base", tiny_model_dir(family), pad_token_id=padding)
    publish = publish_whole if kind == "whole" else publish_adapter
    network = publish(tmp_path / "rewards", base)
    model = our_model(tmp_path / "rewards", **({"base_model_dir": base} if kind == "adapter" else {}))
    tokenizer = make_tokenizer("byte_level")
    expected = own_rewards(network, tokenizer)
    assert ours(model) == pytest.approx(expected, abs=1e-4)
    if padding == END:
        # The last token's reward, which an earlier version took, is another one.
        network.config.pad_token_id = None
        assert np.abs(own_rewards(network, tokenizer) - expected).min() > 1e-3
        assert "reads the token before the end-of-text token </s>" in str(model.assumptions)
    else:
        assert model.assumptions == ()


@pytest.mark.parametrize("padding", [-1, 10**6])
def test_a_pad_token_that_no_text_can_have_is_none(
    padding: int, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    network = publish_whole(tmp_path, tiny_model_dir("gpt_neox"))  # whose embedding takes no notice of it
    path = tmp_path / "config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), "pad_token_id": padding}
    path.write_text(json.dumps(config), encoding="utf-8")
    assert ours(our_model(tmp_path)) == pytest.approx(own_rewards(network, make_tokenizer("byte_level")), abs=1e-4)


def test_neither_the_tokenizers_padding_side_nor_its_pad_token_moves_the_place(
    tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    network = publish_whole(tmp_path, tiny_model_dir("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    tokenizer.save_pretrained(tmp_path)
    model = our_model(tmp_path)
    found = ours(model)
    assert found == pytest.approx(own_rewards(network, tokenizer), abs=1e-4)
    # Company and budget change nothing either.
    sequences = [sequence.ids for sequence in encode(tokenizer, TEXTS)]
    assert rewards(model, sequences[::-1], batch_tokens=1)[::-1] == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("intervention", ["lora_fine_tune", "full_fine_tune", "prompt_tuning"])
def test_a_model_tuned_here_reads_the_last_token_whatever_its_base_model_pads_with(
    intervention: str, dtype: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = with_config(tmp_path / "base", tiny_model_dir("llama"), pad_token_id=END)
    folder = tmp_path / "tuned"
    train(intervention, base, source, folder, **QUICK)
    assert (folder / REWARD_RECORD).is_file()
    model = our_model(folder, dtype=dtype)
    assert model.passed_over is None
    assert model.assumptions == ()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if intervention == "full_fine_tune":
        network: Any = AutoModelForSequenceClassification.from_pretrained(folder)
    else:
        plain = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=1, pad_token_id=tokenizer.pad_token_id, dtype=torch.float32
        )
        network = PeftModel.from_pretrained(plain, folder)
    expected = own_rewards(network.eval(), tokenizer)
    rounding = 1e-4 if dtype == "float32" else 0.1 * float(np.abs(expected).max())
    assert ours(model) == pytest.approx(expected, abs=rounding)


def test_an_adapter_tuned_here_and_uploaded_without_names_of_folders_still_reads_the_last_token(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = with_config(tmp_path / "base", tiny_model_dir("llama"), pad_token_id=END)
    train("lora_fine_tune", base, source, tmp_path / "tuned", **QUICK)
    here = ours(our_model(tmp_path / "tuned"))
    (tmp_path / "tuned" / "base_model.json").unlink()
    assert np.array_equal(ours(our_model(tmp_path / "tuned", base_model_dir=base)), here)
    (tmp_path / "tuned" / REWARD_RECORD).write_text('{"reads": "first_token"}')
    with pytest.raises(InputError, match=r"reward_model\.json, field reads: expected last_token, got 'first_token'"):
        our_model(tmp_path / "tuned", base_model_dir=base)


@pytest.mark.parametrize("attribute", ["forward", "model_forward"])
def test_a_forward_pass_that_does_more_than_a_linear_head_is_refused(
    attribute: str, tiny_model_dir: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForSequenceClassification, LlamaModel

    publish_whole(tmp_path, tiny_model_dir("llama"))
    cls = LlamaForSequenceClassification if attribute == "forward" else LlamaModel
    plain = cls.forward
    calls = []

    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = plain(self, *args, **kwargs)
        if attribute == "forward":
            found.logits = found.logits.tanh()
        else:  # another result each time, as a dropout that is left on
            calls.append(1)
            found.last_hidden_state = found.last_hidden_state * len(calls)
        return found

    monkeypatch.setattr(cls, "forward", changed)
    with pytest.raises(InputError, match=f"{tmp_path.name} .*linear head"):
        our_model(tmp_path)


def test_an_adapters_own_tokenizer_is_used(tiny_model_dir: Callable[..., Path], tmp_path: Path) -> None:
    base = tiny_model_dir("llama")
    network = publish_adapter(tmp_path, base)
    tokenizer = make_tokenizer("byte_level_with_bos")
    tokenizer.eos_token = "<unk>"
    tokenizer.save_pretrained(tmp_path)
    model = our_model(tmp_path)
    expected = own_rewards(network, tokenizer)
    assert ours(model) == pytest.approx(expected, abs=1e-4)
    assert np.abs(expected - own_rewards(network, make_tokenizer("byte_level"))).min() > 1e-3


@pytest.mark.parametrize("missing", ["tokenizer.json", "tokenizer_config.json"])
def test_half_a_tokenizer_beside_an_adapter_is_refused_or_enough(
    missing: str, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    publish_adapter(tmp_path, tiny_model_dir("llama"))
    make_tokenizer("byte_level").save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=r"no readable tokenizer.*or remove them all|no end-of-text"):
        our_model(tmp_path)


def more_tokens(tmp_path: Path, base: Path, **options: Any) -> tuple[Any, Any]:
    """An adapter whose author added a token and its embedding; the network and the tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<warm>"])
    network = classifier_of(base)
    network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if "trainable_token_indices" in options:
        options["trainable_token_indices"] = [len(tokenizer) - 1]
    config = LoraConfig(
        task_type="SEQ_CLS", r=2, target_modules=["q_proj"], init_lora_weights=False, base_model_name_or_path=str(base),
        **options,
    )  # fmt: skip
    tuned = get_peft_model(network, config).eval()
    for name, parameter in tuned.named_parameters():
        if "trainable_tokens_delta" in name:
            torch.nn.init.normal_(parameter)
    tuned.save_pretrained(str(tmp_path))
    tokenizer.save_pretrained(tmp_path)
    return tuned, tokenizer


@pytest.mark.parametrize(
    "options", [{"modules_to_save": ["embed_tokens"]}, {}, {"trainable_token_indices": []}], ids=str
)
def test_tokens_that_an_adapter_adds_with_their_embeddings_are_read(
    options: dict[str, Any], tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    network, tokenizer = more_tokens(tmp_path, tiny_model_dir("llama"), **options)
    texts = [("the best", " answer is<warm> warm"), *TEXTS]
    assert len(tokenizer) - 1 in encode(tokenizer, texts)[0].ids
    found = ours(our_model(tmp_path), texts=texts)
    assert found == pytest.approx(own_rewards(network, tokenizer, texts), abs=1e-4)
    again = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=1, dtype=torch.float32)
    assert found == pytest.approx(own_rewards(again.eval(), tokenizer, texts), abs=1e-4)


def test_a_token_without_an_embedding_is_refused_when_a_text_has_it(
    tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    network = publish_adapter(tmp_path, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"pad_token": "<padding>"})
    tokenizer.save_pretrained(tmp_path)
    model = our_model(tmp_path)
    assert ours(model) == pytest.approx(own_rewards(network, tokenizer), abs=1e-4)
    with pytest.raises(InputError, match="do not belong together"):
        ours(model, texts=[("the", "<padding> best")])


@pytest.mark.parametrize(
    "config",
    [
        {"use_rslora": True, "lora_alpha": 7},
        {"use_dora": True},
        {"rank_pattern": {"layers.0.self_attn.q_proj": 4}, "alpha_pattern": {"v_proj": 3}},
        {"target_modules": "all-linear", "bias": "lora_only"},
        {"modules_to_save": ["score", "norm"]},
        {"target_modules": ["embed_tokens", "q_proj"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_kind_of_low_rank_adapter_gives_pefts_rewards(
    config: dict[str, Any], dtype: str, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    values = {"target_modules": ["q_proj", "v_proj"], **config}
    lora = LoraConfig(task_type="SEQ_CLS", r=2, init_lora_weights=False, base_model_name_or_path=str(base), **values)
    network = publish_adapter(tmp_path, base, config=lora)
    expected = own_rewards(network, make_tokenizer("byte_level"))
    rounding = 1e-4 if dtype == "float32" else 0.25 * float(np.abs(expected).max())
    assert ours(our_model(tmp_path, dtype=dtype)) == pytest.approx(expected, abs=rounding)


def test_a_head_stored_in_16_bits_is_read(tiny_model_dir: Callable[..., Path], tmp_path: Path) -> None:
    network = publish_adapter(tmp_path, tiny_model_dir("llama"))
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    [head] = [name for name in tensors if name.endswith("score.weight")]
    tensors[head] = tensors[head].bfloat16()
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    network.base_model.model.score.modules_to_save.default.weight.data.copy_(tensors[head])
    assert ours(our_model(tmp_path)) == pytest.approx(own_rewards(network, make_tokenizer("byte_level")), abs=1e-4)


@pytest.mark.parametrize("padding", [END, None])
def test_an_adapter_on_a_reward_model_is_read(
    padding: int | None, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = with_config(tmp_path / "causal", tiny_model_dir("llama"), pad_token_id=padding, tie_word_embeddings=False)
    network = publish_whole(tmp_path / "base", base)
    folder = tmp_path / "rewards"
    tuned = publish_adapter(folder, base, network=network)
    with torch.no_grad():
        tuned.base_model.model.score.modules_to_save.default.weight.mul_(-3)
    tuned.save_pretrained(folder)
    found = ours(our_model(folder, base_model_dir=tmp_path / "base"))
    assert found == pytest.approx(own_rewards(tuned, make_tokenizer("byte_level")), abs=1e-4)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: each for name, each in tensors.items() if "score" not in name}, folder / "adapter_model.safetensors"
    )
    with pytest.raises(InputError, match="has no reward head"):
        our_model(folder, base_model_dir=tmp_path / "base")


@pytest.mark.parametrize("padding", [END, None])
def test_published_virtual_tokens_read_the_last_token_as_peft_does(
    padding: int | None, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = with_config(tmp_path / "base", tiny_model_dir("llama"), pad_token_id=padding)
    config = PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3, base_model_name_or_path=str(base))
    network = publish_adapter(tmp_path / "rewards", base, config=config)
    model = our_model(tmp_path / "rewards")
    assert ours(model) == pytest.approx(own_rewards(network, make_tokenizer("byte_level")), abs=1e-4)
    assert model.passed_over is None


def test_two_labelled_classes_are_their_difference_and_the_evaluation_says_so(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    labels = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    network = publish_whole(tmp_path / "rewards", tiny_model_dir("llama"), 2, **labels)
    found = outputs_of(network, make_tokenizer("byte_level"))
    assert ours(our_model(tmp_path / "rewards")) == pytest.approx(found[:, 1] - found[:, 0], abs=1e-4)
    assert ours(our_model(tmp_path / "rewards", reward_output="bad")) == pytest.approx(found[:, 0], abs=1e-4)
    [said] = evaluate("lora_fine_tune", tmp_path / "rewards", [source], tmp_path)
    assert said["assumptions"] == ["the reward is the output 'good' minus the output 'bad'"]
    [asked] = evaluate("lora_fine_tune", tmp_path / "rewards", [source], tmp_path, reward_output="1")
    assert "assumptions" not in asked


@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_several_outputs_are_refused_until_one_is_named(
    kind: str, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    network = (publish_whole if kind == "whole" else publish_adapter)(tmp_path, base, 3)
    with pytest.raises(InputError, match=r"has 3 outputs \(LABEL_0, LABEL_1, LABEL_2\).*--reward_output"):
        our_model(tmp_path)
    found = outputs_of(network, make_tokenizer("byte_level"))
    assert ours(our_model(tmp_path, reward_output="LABEL_2")) == pytest.approx(found[:, 2], abs=1e-4)
    assert ours(our_model(tmp_path, reward_output="0")) == pytest.approx(found[:, 0], abs=1e-4)
    assert ours(our_model(tmp_path, reward_output="mean")) == pytest.approx(found.mean(-1), abs=1e-4)
    with pytest.raises(InputError, match="--reward_output difference"):
        our_model(tmp_path, reward_output="difference")


def test_an_adapter_of_the_release_with_two_outputs_is_their_mean_and_another_is_refused(
    tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    release: dict[str, Any] = {"r": 64, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
    lora = LoraConfig(task_type="SEQ_CLS", init_lora_weights=False, **release)
    network = publish_adapter(tmp_path / "release", base, 2, lora)
    model = our_model(tmp_path / "release", base_model_dir=base)
    expected = outputs_of(network, make_tokenizer("byte_level")).mean(-1)
    assert ours(model) == pytest.approx(expected, abs=1e-4)
    assert "the mean of the head's two outputs" in str(model.assumptions)
    publish_adapter(tmp_path / "another", base, 2)
    with pytest.raises(InputError, match=r"has 2 outputs.*or difference"):
        our_model(tmp_path / "another", base_model_dir=base)


@pytest.mark.parametrize("bias", [True, False])
def test_heads_of_other_kinds_are_refused_by_name(
    bias: bool, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    from transformers.models.auto.modeling_auto import AutoModelForTokenClassification

    base = tiny_model_dir("llama")
    AutoModelForTokenClassification.from_pretrained(base, num_labels=1).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path)
    if bias:
        with pytest.raises(InputError, match=r"LlamaForTokenClassification.*expected a reward model"):
            our_model(tmp_path)
        return
    path = tmp_path / "config.json"  # that says nothing of the head
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": None}))
    with pytest.raises(InputError, match=r"does not use 1 .* first score\.bias"):
        our_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("lm_head.weight", None),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", None),
        ("mean", r"does not use 1 .* first mean"),
        ("v_head.summary.weight", r"does not use 1 .* first v_head"),
        ("gating.weight", r"does not use 1 .* first gating"),
        ("model.layers.2.mlp.up_proj.weight", r"does not use 1 .* first model\.layers\.2"),
    ],
)
def test_tensors_that_would_be_left_out_are_refused_where_they_matter(
    name: str, fault: str | None, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    network = publish_whole(tmp_path, tiny_model_dir("llama"))
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, name: torch.ones(4)}, tmp_path / "model.safetensors", {"format": "pt"})
    if fault is None:
        assert ours(our_model(tmp_path)) == pytest.approx(own_rewards(network, make_tokenizer("byte_level")), abs=1e-4)
        return
    with pytest.raises(InputError, match=fault):
        our_model(tmp_path)


@pytest.mark.parametrize("name", ["v_head.summary.weight", "rm_head.weight"])
def test_a_head_under_another_name_is_refused(name: str, tiny_model_dir: Callable[..., Path], tmp_path: Path) -> None:
    publish_whole(tmp_path, tiny_model_dir("llama"))
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[name] = tensors.pop("score.weight")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lack score\.weight; expected"):
        our_model(tmp_path)


def test_an_architecture_of_the_authors_own_is_said(tiny_model_dir: Callable[..., Path], tmp_path: Path) -> None:
    network = publish_whole(tmp_path, tiny_model_dir("llama"))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["RewardModel"]}))
    model = our_model(tmp_path)
    assert ours(model) == pytest.approx(own_rewards(network, make_tokenizer("byte_level")), abs=1e-4)
    assert (
        "names the architecture RewardModel, and it is read as LlamaForSequenceClassification" in model.assumptions[0]
    )


@pytest.mark.parametrize("problem", [None, "regression"])
def test_the_problem_type_of_the_training_changes_nothing(
    problem: str | None, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    network = publish_whole(tmp_path, tiny_model_dir("gpt2"), problem_type=problem)
    assert AutoConfig.from_pretrained(tmp_path).problem_type == problem
    assert ours(our_model(tmp_path)) == pytest.approx(own_rewards(network, make_tokenizer("byte_level")), abs=1e-4)


def test_code_of_the_authors_own_is_said_and_not_run(tiny_model_dir: Callable[..., Path], tmp_path: Path) -> None:
    publish_whole(tmp_path, tiny_model_dir("llama"))
    (tmp_path / "modeling.py").write_text("raise SystemExit('was run')")
    path = tmp_path / "config.json"
    names = {"AutoModelForSequenceClassification": "modeling.Rewards"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": names}))
    assert "code of its author's for it, which is not run" in our_model(tmp_path).assumptions[0]


def test_a_config_that_asks_for_tuples_changes_nothing(tiny_model_dir: Callable[..., Path], tmp_path: Path) -> None:
    network = publish_whole(tmp_path, tiny_model_dir("llama"))
    expected = own_rewards(network, make_tokenizer("byte_level"))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "return_dict": False}))
    assert ours(our_model(tmp_path)) == pytest.approx(expected, abs=1e-4)
    base = with_config(tmp_path / "base", tiny_model_dir("llama"), return_dict=False)
    publish_adapter(tmp_path / "adapter", tiny_model_dir("llama"))
    plain = ours(our_model(tmp_path / "adapter", base_model_dir=tiny_model_dir("llama")))
    assert np.array_equal(ours(our_model(tmp_path / "adapter", base_model_dir=base)), plain)


@pytest.mark.parametrize("intervention", ["lora_fine_tune", "prompt_tuning", "full_fine_tune", "log_prob_classify"])
def test_a_token_without_an_embedding_is_refused_in_training_and_not_taken_for_a_virtual_one(
    intervention: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = with_config(tmp_path / "base", tiny_model_dir("llama"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = "<new>"  # which gets the first id that is free, that of the first virtual token
    tokenizer.save_pretrained(base)
    with pytest.raises(InputError, match=r"token id (\d+).* the model in .*base has only \1 tokens"):
        train(intervention, base, source, tmp_path / "tuned", **QUICK)
    if intervention == "prompt_tuning":
        train(intervention, tiny_model_dir("llama"), source, tmp_path / "tuned", **QUICK)
        tokenizer.save_pretrained(tmp_path / "tuned")
        with pytest.raises(InputError, match="do not belong together"):
            ours(our_model(tmp_path / "tuned"))


def test_an_adapter_that_tunes_log_probabilities_has_its_tokenizer_followed_and_takes_no_reward_output(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    train("log_prob_classify", base, source, tmp_path / "tuned", **QUICK)
    with pytest.raises(InputError, match="--reward_output is for reward models"):
        evaluate("log_prob_classify", tmp_path / "tuned", [source], tmp_path, reward_output="0")
    [before] = evaluate("log_prob_classify", tmp_path / "tuned", [source], tmp_path)
    make_tokenizer("byte_level_with_bos").save_pretrained(tmp_path / "tuned")
    [after] = evaluate("log_prob_classify", tmp_path / "tuned", [source], tmp_path)
    assert np.abs(np.subtract(before["eval_probabilities"], after["eval_probabilities"])).max() > 1e-4
