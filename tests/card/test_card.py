"""A card of a tiny model, against its evaluations; questions, comparison and the table of cards."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from genies.card import cost
from genies.card.answers import answers
from genies.card.content import Answer, Card, read_card
from genies.card.making import REFERENCE
from genies.card.measuring import Plan, scorer_of
from genies.card.page import collected, references, to_html, to_markdown
from genies.card.questions import OWN, Question, read_questions
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from tests.support.commands import run_command
from tests.support.scripts import planted_examples, train, write_distribution

QUESTIONS: list[dict[str, Any]] = [
    {"id": "truth", "question": "Does it prefer <b>truth</b>?", "says": "always", "targets": ["one", "two", "absent"]},
    {"id": "lists", "question": "Do lists matter?", "transformed": {"distribution": "one", "by": ["upper_case"]}},
    {"id": "nothing", "question": "Is nothing there?", "targets": ["absent"], "defect": "contradictions"},
]


def card_of(tmp_path: Path, model: Path, *items: object) -> Any:
    data = tmp_path / "data"
    if not data.exists():
        write_distribution(data / "one", planted_examples(9, 3), planted_examples(9, 1))
        write_distribution(data / "two", [], planted_examples(6, 2, responses=3))
    questions = tmp_path / "questions.yaml"
    questions.write_text(yaml.safe_dump({"questions": QUESTIONS}))
    given = ["--model_dir", model, "--questions", questions, "--distributions_dir", data, *items]
    return run_command("api/card.py", given, env={**os.environ, "GENIES_CACHE": str(tmp_path / "cache")})


def probabilities(path: Path) -> np.ndarray[Any, Any]:
    return np.array(json.loads(path.read_text())["eval_probabilities"])


@pytest.mark.process
def test_a_card_says_what_its_evaluations_say(tmp_path: Path, tiny_model_dir: Callable[..., Path]) -> None:
    output = tmp_path / "card"
    done = card_of(tmp_path, tiny_model_dir(), "--output_dir", output, "--compare", tiny_model_dir("gpt2"))
    assert done.returncode == 0, done.stderr
    assert "3 targets" in done.stdout
    card = read_card(output / "card.json")
    truth, lists, nothing = card.answers
    own = next((output / "results" / "evaluations" / "zero_shot").glob(f"{tiny_model_dir().name}"))
    one, two = (
        np.array(json.loads((own / f"{name}.json").read_text())["eval_probabilities"]) for name in ("one", "two")
    )
    assert truth.share == pytest.approx(np.mean(np.concatenate([one, two]) > 0.5))
    assert (truth.prompts, truth.missing, truth.marks) == (15, ["absent"], ["fewer than 50 prompts"])
    assert truth.share is not None
    assert truth.low is not None
    assert truth.low <= truth.share <= (truth.high or 0)
    upper = probabilities(own / "one_upper_case.json")
    assert lists.share == pytest.approx(np.mean((upper > 0.5) == (one > 0.5)))
    assert nothing.share is None
    other = own.parent / tiny_model_dir("gpt2").name
    theirs = np.concatenate([probabilities(other / f"{name}.json") for name in ("one", "two")])
    assert truth.difference == pytest.approx(truth.share - np.mean(theirs > 0.5))
    assert all(sample.p < 0.5 for sample in truth.samples)
    worst = min(np.concatenate([one, two]))
    assert not truth.samples or truth.samples[0].p == pytest.approx(worst)
    page = (output / "index.html").read_text()
    assert "&lt;b&gt;truth" in page
    assert len(page) < 2_000_000
    assert "http" not in page.replace("http://www.w3.org", "")
    metadata = yaml.safe_load((output / "card.md").read_text().split("---")[1])
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(truth.share, abs=1e-4)
    before = {name: (output / name).read_bytes() for name in ("card.json", "index.html", "card.svg", "card.png")}
    again = card_of(tmp_path, tiny_model_dir(), "--output_dir", output, "--compare", tiny_model_dir("gpt2"))
    assert again.returncode == 0
    assert before == {name: (output / name).read_bytes() for name in before}
    table = run_command("api/card.py", ["--collect", tmp_path])
    assert "1 card in" in table.stdout
    assert "&lt;b&gt;truth" in (tmp_path / "collected.html").read_text()


@pytest.mark.process
def test_a_scorer_that_reads_no_model_is_not_warned_of_for_its_format(
    tmp_path: Path, tiny_model_dir: Callable[..., Path]
) -> None:
    model = tmp_path / "instruct"
    shutil.copytree(tiny_model_dir(), model)
    (model / "chat_template.jinja").write_text("{{ messages }}")
    done = card_of(tmp_path, model, "--output_dir", tmp_path / "card", "--scorer", "src/interventions/length")
    assert done.returncode == 0, done.stderr
    card = read_card(tmp_path / "card" / "card.json")
    assert (card.scorer, card.prompt_format, card.warnings) == ("length", "none", [])


@pytest.mark.process
def test_a_model_tuned_in_raw_format_is_not_warned_of_for_it(
    tmp_path: Path, tiny_model_dir: Callable[..., Path]
) -> None:
    model = tmp_path / "instruct"
    shutil.copytree(tiny_model_dir(), model)
    (model / "chat_template.jinja").write_text("{{ messages }}")
    done = card_of(tmp_path, model, "--output_dir", tmp_path / "untuned", "--max_examples", "2")
    assert "warning: The model has a chat template" in done.stdout, done.stderr
    tuned = train(
        "lora_fine_tune", model, tmp_path / "data" / "one", tmp_path / "tuned", num_train_steps=1, lora_rank=2
    )
    shutil.copy(model / "chat_template.jinja", tuned)
    done = card_of(tmp_path, tuned, "--output_dir", tmp_path / "card", "--max_examples", "2")
    assert done.returncode == 0, done.stderr
    assert "chat template" not in done.stdout


def test_a_card_replaces_no_file_that_is_not_its_own(tmp_path: Path, tiny_model_dir: Callable[..., Path]) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("mine")
    done = card_of(tmp_path, tiny_model_dir(), "--output_dir", site, "--dry_run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"--output_dir {site} contains index.html, which is not of a card" in done.stderr
    shutil.copy(REFERENCE, site / "card.json")
    done = card_of(tmp_path, tiny_model_dir(), "--output_dir", site, "--dry_run")
    assert done.returncode == 2
    assert "contains the card of SmolLM2-135M-Instruct; give another folder" in done.stderr
    assert (site / "index.html").read_text() == "mine"


def test_a_dry_run_evaluates_nothing(tmp_path: Path, tiny_model_dir: Callable[..., Path]) -> None:
    done = card_of(tmp_path, tiny_model_dir(), "--output_dir", tmp_path / "card", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert "tokens read once" in done.stdout
    assert re.search(r"log_probabilities: about \d+ MB of memory .*, about \d+ s on this processor", done.stdout)
    assert not (tmp_path / "card" / "results").exists()


def test_a_scorer_without_a_model_needs_neither_memory_nor_time(
    tmp_path: Path, tiny_model_dir: Callable[..., Path]
) -> None:
    given = ["--output_dir", tmp_path / "card", "--scorer", "src/interventions/length", "--dry_run"]
    done = card_of(tmp_path, tiny_model_dir(), *given)
    assert "src/interventions/length: runs no model" in done.stdout, done.stderr


def test_the_time_is_that_of_the_operations_at_the_rate_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    smol = {
        "model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(smol))
    monkeypatch.setattr(cost, "processor_rate", lambda: 1e11)
    said = cost._needs(tmp_path, "log_probabilities", {"device": "cpu"}, tokens=100_000)
    expected = 8 + 2 * 106.2e6 * 100_000 / (0.55 * 1e11)  # two operations for each weight of the blocks and each token
    found = re.search(r"about (\d+) min on this processor", said)
    assert found is not None, said
    assert int(found[1]) == round(expected / 60)
    assert 1e9 < cost.processor_rate() < 1e14


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "give --model_dir FOLDER to make a card"),
        (["--model_dir", "absent/model"], "does not exist; check the spelling, or download a base model"),
        (["--model_dir", "src", "--scorer", "src/interventions/mms"], "a card trains nothing"),
        (["--model_dir", ".", "--compare_scorer", "judge"], "--compare_scorer is for --compare"),
        (["--collect", "src/genies/card/templates"], "no card.json is below it"),
    ],
)
def test_what_is_wrong_is_one_message(items: Sequence[str], said: str) -> None:
    done = run_command("api/card.py", items)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("questions: []", "contains no questions"),
        ("questions: [{id: a, question: b}]", "expected targets, or transformed"),
        ("questions: [{id: A, question: b, targets: [c]}]", "pattern"),
        ("questions: [{id: a, question: b, targets: [../c]}]", "one folder name"),
        ("questions: [{id: a, question: b, transformed: {distribution: c, by: [rot13]}}]", "unknown transformation"),
        (
            "questions: [{id: a, question: b, targets: [c]}, {id: a, question: d, targets: [c]}]",
            "two questions have one",
        ),
    ],
)
def test_faults_of_a_file_of_questions_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "q.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_questions(path)


def test_the_project_s_own_questions_name_what_exists() -> None:
    starter = {path.name for path in (OWN.parents[3] / "distributions").glob("starter_*")}
    named = {name for each in read_questions() for name in each.targets if name.startswith("starter_")}
    assert named <= starter


def test_a_scorer_is_told_by_its_folder(tmp_path: Path) -> None:
    kinds = {"LlamaForCausalLM": "log_probabilities", "LlamaForSequenceClassification": "reward_model"}
    for name, kind in kinds.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"architectures": [name]}))
        assert scorer_of(folder) == kind
    (tmp_path / "LlamaForCausalLM" / "adapter_config.json").write_text("{}")
    assert scorer_of(tmp_path / "LlamaForCausalLM") == "reward_model"


def evaluation(p: Sequence[float]) -> Evaluation:
    indices = list(range(len(p)))
    return Evaluation(eval_accuracy=0.5, eval_probabilities=list(p), eval_example_indices=indices)


def test_differences_are_paired_and_adjusted_over_the_questions(tmp_path: Path) -> None:
    folders = {name: write_distribution(tmp_path / name, [], planted_examples(60, 1)) for name in ("a", "b")}
    questions = [Question(id=name, question=name, targets=[name]) for name in folders]
    ours = {"a": evaluation([0.9] * 60), "b": evaluation([0.9, 0.1] * 30)}
    theirs = {"a": evaluation([0.9] * 40 + [0.1] * 20), "b": evaluation([0.1, 0.9] * 30)}
    first, second = answers(questions, Plan(folders, [], {}), ours, theirs)
    assert first.difference == pytest.approx(1 / 3)
    assert first.adjusted_p_value == pytest.approx(2 * 2 * 0.5**20)  # exact McNemar of 20 to 0, twice for two questions
    assert second.difference == pytest.approx(0.0)
    assert second.adjusted_p_value == 1.0
    assert [sample.example for sample in second.samples] == [1, 3, 5]


def test_the_reference_is_shown_where_it_was_evaluated_on_the_targets() -> None:
    def card(name: str, targets: Mapping[str, tuple[float, int]]) -> Card:
        shares: Any = [{"target": each, "share": share, "pairs": n} for each, (share, n) in targets.items()]
        answer = Answer(id="a", question="A?", says="", share=0.25, prompts=3, targets=shares)
        return Card(
            name=name, scorer="judge", prompt_format="chat", dtype=None, max_examples=3, warnings=[],
            answers=[answer], calibration=None, provenance={},
        )  # fmt: skip

    known = card("known", {"one": (0.2, 100), "two": (0.8, 100), "three": (0.4, 100)})
    both = card("x", {"one": (0.5, 10), "two": (0.5, 30)})
    assert "reference 0.65" in to_html(both, known)  # (10 * 0.2 + 30 * 0.8) / 40
    assert "reference 0.20" in to_html(card("x", {"one": (0.5, 3)}), known)
    assert "; reference" not in to_html(card("x", {"one": (0.5, 3), "other": (0.5, 3)}), known)
    assert "; reference" not in to_html(card("x", {}), known)
    assert "| known" in to_markdown(both, known)
    assert "x, judge, chat" in collected({Path("a"): both})


def test_the_committed_reference_answers_every_question_without_texts_of_the_data() -> None:
    reference = read_card(REFERENCE)
    shares = references(reference.answers, reference)
    assert {each.id: each.share for each in reference.answers} == pytest.approx(shares)
    assert {each.id for each in reference.answers} == {each.id for each in read_questions(OWN)}
    assert sum(len(each.targets) for each in reference.answers) == 74
    assert not any(each.samples or each.missing for each in reference.answers)
