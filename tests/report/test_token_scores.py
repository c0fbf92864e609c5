"""Log-probabilities by token in the report are those of a plain forward pass, and only where there are any."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genies.commands.report import ReportArguments, main
from genies.data.distribution import Distribution
from genies.data.shifts import Shift
from genies.errors import InputError
from genies.report.token_scores import NOT_SCORED_BY_TOKEN, TokenRequest
from genies.report.writing import Content, Written, write_report
from tests.report.conftest import Tab, loaded
from tests.report.test_access import AXE
from tests.support.made_report import ROOT
from tests.support.seeded_results import SeededStudy

pytestmark = pytest.mark.process

BEST = {"starter_ordering": "log_prob_classify", "starter_sums": "mms", "starter_letter_rows": "dpo"}
"""The best intervention on each target: an adapter that scores log-probabilities, no adapter, and another adapter."""
SHIFTS = [Shift("starter_everyday", target) for target in BEST]
SAMPLES = 3


@dataclass(frozen=True)
class Made:
    """A report with token scores, and what it was made from."""

    folder: Path
    study: SeededStudy
    base: Path
    adapter: Path
    written: Written


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Callable[..., Path]) -> Made:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder, base = tmp_path_factory.mktemp("token_scores"), tiny_model_dir()
    distributions = folder / "distributions"
    distributions.mkdir()
    for name in {name for shift in SHIFTS for name in (shift.source, shift.target)}:
        (distributions / name).symlink_to(ROOT / "distributions" / name)
    study = SeededStudy(folder / "results", distributions, base_model=base.name)
    study.write(SHIFTS, tuple(BEST.values()))
    for target, best in BEST.items():
        path = study.evaluation_file(best, "starter_everyday", None, target)
        value = json.loads(path.read_text(encoding="utf-8"))
        p = np.maximum(value["eval_probabilities"], 0.6)
        changed = {**value, "eval_probabilities": p.tolist(), "eval_accuracy": 1.0}
        if best == "dpo":  # implicit rewards, not log-probabilities
            test = Distribution(distributions / target).test
            changed["eval_scores"] = [
                {"example": each.index, "best": [3.0], "worse": [1.0] * len(each.worse)} for each in test
            ]
        path.write_text(json.dumps(changed), encoding="utf-8")
    adapter = folder / "models" / "log_prob_classify" / f"{base.name}-starter_everyday"
    torch.manual_seed(0)
    config = LoraConfig(r=2, task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(str(adapter))
    shutil.copytree(adapter, folder / "models" / "dpo" / adapter.name)
    request = TokenRequest(SAMPLES, base, folder / "models", "zero_shot")
    content = Content(study.results_dir, distributions, token_scores=request)
    return Made(folder / "report", study, base, adapter, write_report(folder / "report", content))


def plain(network: Any, tokenizer: Any, prompt: str, response: str) -> list[float]:
    """The log-probabilities of the tokens of a response and of the end of text, with one forward pass."""
    ids = [*tokenizer(prompt + response)["input_ids"], tokenizer.eos_token_id]
    spans = tokenizer(prompt + response, return_offsets_mapping=True)["offset_mapping"]
    first = next(place for place, (_, stop) in enumerate(spans) if stop > len(prompt))
    with torch.inference_mode():
        logits = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [float(logits[place - 1, ids[place]]) for place in range(first, len(ids))]


def test_token_scores_are_those_of_a_plain_forward_pass(made: Made) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made.base)
    networks: dict[str, Any] = {}
    networks[f"zero_shot/{made.base.name}"] = AutoModelForCausalLM.from_pretrained(made.base, dtype=torch.float32)
    tuned = AutoModelForCausalLM.from_pretrained(made.base, dtype=torch.float32)
    networks[f"log_prob_classify/{made.adapter.name}"] = PeftModel.from_pretrained(tuned, made.adapter).eval()
    test = Distribution(made.study.distributions_dir / "starter_ordering").test
    found = loaded(made.folder, "tokens/starter_ordering")
    assert set(found["scores"]) == set(networks)
    assert len(found["examples"]) == SAMPLES
    for key, network in networks.items():
        for index in found["examples"]:
            best, worse = found["scores"][key][str(index)]
            example = test[index]
            texts = [(best, example.best_response), *zip(worse, example.worse_responses, strict=True)]
            for tokens, response in texts:
                assert "".join(text for text, _ in tokens) == response
                expected = plain(network.eval(), tokenizer, example.prompt_text, response)
                assert [value for _, value in tokens] == pytest.approx(expected, abs=2e-3)


def test_the_samples_are_those_with_the_largest_difference(made: Made) -> None:
    def p(intervention: str, source: str | None) -> np.ndarray:
        path = made.study.evaluation_file(intervention, source, None, "starter_ordering")
        value = json.loads(path.read_text(encoding="utf-8"))
        indices = np.array(value["eval_example_indices"])
        p = np.array(value["eval_probabilities"])
        return np.array([p[indices == index].mean() for index in np.unique(indices)])

    difference = np.abs(p("log_prob_classify", "starter_everyday") - p("zero_shot", None))
    largest = np.argsort(-difference, kind="stable")[:SAMPLES]
    assert loaded(made.folder, "tokens/starter_ordering")["examples"] == sorted(largest.tolist())


@pytest.mark.parametrize("target", ["starter_sums", "starter_letter_rows"])
def test_an_intervention_that_does_not_score_by_log_probabilities_has_none(made: Made, target: str) -> None:
    found = loaded(made.folder, f"tokens/{target}")
    assert list(found["scores"]) == [f"zero_shot/{made.base.name}"]
    assert found["none"] == {f"{BEST[target]}/{made.adapter.name}": NOT_SCORED_BY_TOKEN}


def test_a_response_is_shaded_by_token_on_demand(chromium: Any, made: Made) -> None:
    tab = Tab(chromium, made.folder)
    page = tab.open("samples.html#d=starter_ordering&f=tokens")
    assert page.locator(".sample").count() == SAMPLES
    response = page.locator(".response").first
    before = response.locator(".text").inner_text()
    response.get_by_role("button", name="log_prob_classify").click()
    assert response.locator(".token").count() > 1
    assert response.locator(".text").inner_text().removesuffix("·") == before
    response.get_by_role("button", name="log_prob_classify").click()
    assert response.locator(".token").count() == 0
    page = tab.open("samples.html#d=starter_sums&f=tokens")
    assert "mms has no log-probabilities by token" in page.locator(".sample").first.inner_text()
    assert page.locator(".response").first.get_by_role("button", name="zero_shot").count() == 1
    tab.context.close()
    assert tab.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shaded_text_can_be_read(chromium: Any, made: Made, scheme: Any) -> None:
    tab = Tab(chromium, made.folder, color_scheme=scheme)
    page = tab.open("samples.html#d=starter_ordering&f=tokens")
    for button in page.get_by_role("button", name="log_prob_classify").all():
        button.click()
    for number, token in enumerate(page.locator(".token").all()[:5], start=1):
        token.evaluate("(each, kind) => (each.className = 'token ' + kind)", f"s{number}")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document.querySelector('#samples'), {resultTypes: ['violations']})")["violations"]
    assert [each["id"] for each in found] == []
    tab.context.close()


def test_a_model_that_cannot_be_run_is_a_note(made: Made, tmp_path: Path) -> None:
    broken = tmp_path / made.base.name
    broken.mkdir()
    (broken / "config.json").write_text("{}", encoding="utf-8")
    request = TokenRequest(1, broken, tmp_path / "models", "zero_shot")
    content = Content(made.study.results_dir, made.study.distributions_dir, token_scores=request)
    notes = write_report(tmp_path / "report", content).notes
    assert any(f"starter_sums: no log-probabilities by token of zero_shot/{made.base.name}" in note for note in notes)
    assert any("token for starter_everyday, because" in note for note in notes)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"model_dir": "m"}, "--model_dir"),
        ({"token_scores": 1}, "--model_dir"),
        ({"token_scores": 1, "model_dir": "no_such_model"}, "no_such_model"),
        ({"token_scores": 1, "model_dir": "m", "results_dir": None, "distributions_dir": "d"}, "--results_dir"),
    ],
)
def test_arguments_that_do_not_fit_together_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        main(ReportArguments(**{"results_dir": "r", **arguments}), ROOT)
