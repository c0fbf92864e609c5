"""--protocol release_2023: its values against the documented table, and what is recorded, said and refused."""

import json
import re
import typing
from pathlib import Path

import pytest
import yaml

from genies.command_line import parse
from genies.contract import evaluation_items, train_items
from genies.errors import InputError
from genies.methods.protocol import RELEASE_2023
from tests.support.scripts import (
    INTERVENTIONS,
    evaluate,
    load_script,
    planted_examples,
    train,
    write_distribution,
)

PROJECT = Path(__file__).parents[2]
ALL = sorted(path.name for path in INTERVENTIONS.iterdir() if (path / "train.py").is_file())
NAMES = [name for name in ALL if name in RELEASE_2023]
SMALL = {"num_train_steps": 1, "per_device_train_batch_size": 2, "save_steps": 0}
SIZES = dict.fromkeys(("lora_fine_tune", "prompt_tuning", "full_fine_tune", "log_prob_classify"), SMALL)


def arguments(intervention, script="train", **kwargs):
    body = {"train": "train", "eval": "evaluate"}[script]
    model = next(iter(typing.get_type_hints(getattr(load_script(intervention, script), body)).values()))
    items = (
        train_items("model", "source", "output", kwargs)
        if script == "train"
        else evaluation_items("model", ["d"], ["p"], kwargs)
    )
    return parse(model, items)


def documented():
    """The rows (intervention, argument, default, release_2023) of the table in docs/methods.md."""
    text = (PROJECT / "docs" / "methods.md").read_text(encoding="utf-8")
    table = text.split("| intervention | argument | default | release_2023 |\n")[1].split("\n\n")[0]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()[1:]]


@pytest.fixture
def source(tmp_path):
    return write_distribution(tmp_path / "source", planted_examples(6, 0), planted_examples(3, 1))


def test_the_documented_table_is_what_arguments_become():
    found = set()
    for name in NAMES:
        plain, under = arguments(name), arguments(name, protocol="release_2023")
        changed = {each for each in type(plain).model_fields if getattr(plain, each) != getattr(under, each)}
        assert changed - {"protocol"} <= set(RELEASE_2023[name].arguments)
        for argument in RELEASE_2023[name].arguments:
            found.add((name, argument, str(getattr(plain, argument)), str(getattr(under, argument))))
    assert sorted(found) == sorted(documented())


def test_every_intervention_takes_the_protocol_in_both_scripts_and_has_an_entry_of_its_own():
    assert sorted(RELEASE_2023) == NAMES
    for name in NAMES:
        assert type(arguments(name)).release_2023 is RELEASE_2023[name]
        assert arguments(name).protocol is None
        assert arguments(name, "eval", protocol="release_2023").protocol == "release_2023"
        with pytest.raises(InputError, match="release_2023"):
            arguments(name, protocol="release_2024")


def test_every_sampling_intervention_takes_sample():
    for name in NAMES:
        assert arguments(name).sample == "first"
        assert arguments(name, sample="seeded").sample == "seeded"


def test_an_explicit_argument_wins_on_the_command_line_and_in_a_configuration_file(tmp_path):
    assert arguments("mms", protocol="release_2023", probe="differences").probe == "differences"
    assert arguments("few_shot", protocol="release_2023", resample=False).resample is False
    (tmp_path / "config.yaml").write_text("protocol: release_2023\nnormalize: source\n")
    found = arguments("ccs", config=str(tmp_path / "config.yaml"))
    assert (found.normalize, found.wording) == ("source", "release_2023")


@pytest.mark.parametrize("name", NAMES)
def test_training_records_the_protocol_and_says_once_what_differs(name, source, tmp_path, tiny_model_dir, capsys):
    sizes = {**SIZES.get(name, {}), "device": "cpu"}
    tuned = train(name, tiny_model_dir("llama"), source, tmp_path / "tuned", protocol="release_2023", **sizes)
    record = json.loads((tuned / "protocol.json").read_text())
    assert record["protocol"] == "release_2023"
    assert record["arguments"] == dict(RELEASE_2023[name].arguments)
    said = capsys.readouterr().err
    assert said.count("does not reproduce all of the release") == (name not in ("random", "human_eval"))
    plain = train(name, tiny_model_dir("llama"), source, tmp_path / "plain", **sizes)
    assert not (plain / "protocol.json").exists()
    assert "release" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mms", "lat_stim_2", "ccs", "zero_shot", "few_shot", "lora_fine_tune"])
def test_evaluations_name_the_protocol_and_another_than_training_had_is_refused(name, source, tmp_path, tiny_model_dir):
    sizes = SIZES.get(name, {})
    under = train(name, tiny_model_dir("llama"), source, tmp_path / "under", protocol="release_2023", **sizes)
    for kwargs in ({}, {"protocol": "release_2023"}):
        [found] = evaluate(name, under, [source], tmp_path, **kwargs)
        assert found["protocol"] == "release_2023"
    plain = train(name, tiny_model_dir("llama"), source, tmp_path / "plain", **sizes)
    [found] = evaluate(name, plain, [source], tmp_path)
    assert "protocol" not in found
    with pytest.raises(InputError, match=r"--protocol release_2023: .* without --protocol; .*--train_kwargs"):
        evaluate(name, plain, [source], tmp_path, protocol="release_2023")


def test_the_untuned_baseline_takes_the_protocol_and_says_what_differs(source, tmp_path, tiny_model_dir, capsys):
    [found] = evaluate("zero_shot", tiny_model_dir("llama"), [source], tmp_path, protocol="release_2023")
    assert found["protocol"] == "release_2023"
    assert capsys.readouterr().err.count("does not reproduce all of the release") == 1


def test_under_the_protocol_texts_are_the_releases(source, tmp_path, tiny_model_dir):
    written = {}
    for name in ("mms", "lat_stim_2", "cra", "ccs"):
        tuned = train(name, tiny_model_dir("llama"), source, tmp_path / name, protocol="release_2023")
        reading = json.loads((tuned / "reading.json").read_text())
        written[name] = (reading["read_at"], [each["between"] + "{}" + each["after"] for each in reading["templates"]])
        assert not any(each["before"] for each in reading["templates"])
    question = "{}\n\n### Does the responder successfully follow the instruction?\n"
    assert written == {
        "mms": ("last_response", ["{}"]),
        "lat_stim_2": (
            "last_response",
            [
                "Consider the extent to which the responder follows the instruction below.\n{}\n\n"
                "The probability that the responder followed the instruction"
            ],
        ),
        "cra": ("last_response", [f"{question}Yes", f"{question}No"]),
        "ccs": ("end_of_text", [f"{question}Yes", f"{question}No"]),
    }


@pytest.mark.parametrize(
    ("family", "modules"),
    [("llama", {"q_proj", "v_proj"}), ("gpt2", {"c_attn"}), ("gpt_neox", {"query_key_value"})],
)
def test_under_the_protocol_lora_tunes_pefts_default_modules(family, modules, source, tmp_path, tiny_model_dir):
    tuned = train("lora_fine_tune", tiny_model_dir(family), source, tmp_path / "t", protocol="release_2023", **SMALL)
    config = json.loads((tuned / "adapter_config.json").read_text())
    assert set(config["target_modules"]) == modules
    [found] = evaluate("lora_fine_tune", tuned, [source], tmp_path)
    assert len(found["eval_probabilities"]) == 3
    plain = train("lora_fine_tune", tiny_model_dir(family), source, tmp_path / "plain", **SMALL)
    everywhere = json.loads((plain / "adapter_config.json").read_text())["target_modules"]
    assert modules < {module.rpartition(".")[2] for module in everywhere}


def test_a_family_without_default_modules_is_a_message(source, tmp_path, tiny_model_dir, monkeypatch):
    from peft.utils import constants

    monkeypatch.delitem(constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING, "llama")
    with pytest.raises(InputError, match=r"no default modules for models of type 'llama'; use all-linear"):
        train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, lora_target_modules="default", **SMALL)


def test_the_published_configuration_uses_the_protocol_for_the_nine_interventions_of_the_release():
    config = yaml.safe_load((PROJECT / "examples" / "configs" / "published_protocol.yaml").read_text())
    assert config["train_kwargs"] == {"protocol": "release_2023"}
    nine = {Path(each).name for each in config["intervention_dir"]}
    assert nine == set(NAMES) - {"random", "human_eval", "full_fine_tune", "log_prob_classify"}


def test_every_method_and_every_documented_argument_is_on_the_page():
    text = (PROJECT / "docs" / "methods.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^### (.*)$", text, flags=re.MULTILINE)).replace(",", "").split()
    assert set(ALL) <= set(headings)
    for name, argument, _, _ in documented():
        assert argument in type(arguments(name)).model_fields
