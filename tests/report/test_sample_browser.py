"""The sample browser in Chromium: seeds, orders, searches, keys and copies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from genies.data.distribution import Distribution
from genies.data.shifts import Shift
from genies.report.writing import Content, write_report
from tests.report.conftest import Tab
from tests.support.made_report import ROOT
from tests.support.seeded_results import SeededStudy

SHIFT = Shift("starter_everyday", "starter_ordering")
SEEDS = (0, 1, 2)
TURNS = [("system", "Answer briefly."), ("user", "What is a <b>lynx</b>?"), ("assistant", "A cat."), ("user", "Big?")]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> SeededStudy:
    """Three seeds of mms and ccs on one shift."""
    folder = tmp_path_factory.mktemp("seeded")
    distributions = folder / "distributions"
    distributions.mkdir()
    for name in (SHIFT.source, SHIFT.target):
        (distributions / name).symlink_to(ROOT / "distributions" / name)
    study = SeededStudy(folder / "results", distributions, base_model="tiny")
    study.write([SHIFT], ("mms", "ccs"), SEEDS)
    write_report(folder / "report", Content(study.results_dir, distributions))
    return study


@pytest.fixture
def tab(chromium: Any, seeded: SeededStudy) -> Iterator[Tab]:
    tab = Tab(chromium, seeded.results_dir.parent / "report", permissions=["clipboard-read", "clipboard-write"])
    yield tab
    tab.context.close()
    assert tab.faults == []


def means(study: SeededStudy, intervention: str, seeds: tuple[int, ...] = SEEDS) -> np.ndarray[Any, Any]:
    """The probabilities of each example, shape (seeds, examples, pairs)."""
    found = []
    for seed in seeds:
        path = study.evaluation_file(intervention, SHIFT.source, seed, SHIFT.target)
        value = json.loads(path.read_text(encoding="utf-8"))
        found.append(np.array(value["eval_probabilities"]).reshape(len(set(value["eval_example_indices"])), -1))
    return np.array(found)


def order(page: Any) -> list[int]:
    return [int(text.lstrip("#")) for text in page.locator("a.number").all_text_contents()]


def samples(**view: object) -> str:
    return "samples.html#" + urlencode(view)


def test_it_opens_on_the_best_intervention_against_the_untuned_model(tab: Tab, seeded: SeededStudy) -> None:
    page = tab.open(samples(d=SHIFT.target))
    accuracy = {name: np.mean(means(seeded, name) > 0.5) for name in ("mms", "ccs")}
    best = max(accuracy, key=accuracy.__getitem__)
    chosen = page.locator("#first option:checked").text_content()
    assert chosen == f"{best}, tuned on starter_everyday, mean of 3 seeds"
    assert page.locator("#second option:checked").text_content() == "zero_shot, untuned"
    badges = page.locator("#sample-0 .verdict").all_text_contents()
    assert [badge.split(":")[0] for badge in badges] == [best, "zero_shot"]


def test_seeds_are_shown_on_demand_and_their_mean_first(tab: Tab, seeded: SeededStudy) -> None:
    page = tab.open(samples(d=SHIFT.target))
    group = page.locator("#first optgroup[label=mms] option")
    assert group.count() == 1
    mean = means(seeded, "mms")[:, 7].mean(axis=0)
    chip = page.locator("#sample-7 .score", has_text="mms")
    assert chip.count() == 1
    assert chip.locator(".p").all_text_contents() == [f"{value:.2f}".removeprefix("0") for value in np.round(mean, 6)]
    page.locator("#seeds").check()
    page.locator("#sample-7 .score", has_text="mms 2").wait_for()
    assert page.locator("#sample-7 .score", has_text="mms").count() == 4
    assert page.locator("#first optgroup[label=mms] option").count() == 4


def test_samples_are_ordered_by_margin_disagreement_and_variation(tab: Tab, seeded: SeededStudy) -> None:
    view = {"d": SHIFT.target, "a": "mms/tiny-starter_everyday", "b": "ccs/tiny-starter_everyday"}
    mms, ccs = (np.round(means(seeded, name), 4).mean(axis=2) for name in ("mms", "ccs"))
    keys = {
        "margin": mms.mean(axis=0),
        "disagreement": -np.abs(mms.mean(axis=0) - ccs.mean(axis=0)),
        "seeds": -mms.std(axis=0),
    }
    for name, key in keys.items():
        page = tab.open(samples(**view, o=name))
        shown = order(page)
        assert len(shown) == 50
        assert np.all(np.diff(key[shown]) >= -1e-9), name
        assert key[shown].max() <= np.delete(key, shown).min() + 1e-9


def test_a_range_of_scores_and_a_search_change_the_counts_of_all_filters(tab: Tab, seeded: SeededStudy) -> None:
    view = {"d": SHIFT.target, "a": "mms/tiny-starter_everyday"}
    mean = np.round(means(seeded, "mms"), 4).mean(axis=(0, 2))
    page = tab.open(samples(**view, l=0.2, h=0.4))
    wanted = [index for index, value in enumerate(mean) if 0.2 <= value <= 0.4]
    assert order(page) == wanted[:50]
    assert page.locator("[data-filter=all] .count").text_content() == str(len(wanted))
    examples = Distribution(ROOT / "distributions" / SHIFT.target).test
    texts = ["\n".join([each.prompt_text, *each.responses]).lower() for each in examples]
    for query, passes in (
        ("karl taller", lambda text: "karl" in text and "taller" in text),
        ('"taller than karl"', lambda text: "taller than karl" in text),
    ):
        hits = [index for index, text in enumerate(texts) if passes(text)]
        assert 0 < len(hits) < len(texts)
        page = tab.open(samples(**view, q=query))
        assert page.locator("[data-filter=all] .count").text_content() == str(len(hits))
        assert order(page) == hits[:50]


def test_all_distributions_are_searched_at_once(tab: Tab) -> None:
    page = tab.open("samples.html")
    page.locator("#search-all").fill("taller")
    page.get_by_role("button", name="Search").click()
    page.locator("#hits-status", has_text="found").wait_for()
    link = page.locator("#hits a", has_text="starter_ordering")
    texts = [
        "\n".join([each.prompt_text, *each.responses])
        for each in Distribution(ROOT / "distributions" / SHIFT.target).test
    ]
    assert str(sum("taller" in text.lower() for text in texts)) in link.locator("xpath=..").text_content()
    link.click()
    page.locator("mark").first.wait_for()


def test_j_and_k_move_between_samples(tab: Tab) -> None:
    page = tab.open(samples(d=SHIFT.target))
    page.locator("h1:visible").click()
    for key, wanted in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == f"sample-{wanted}"


def test_one_sample_is_copied_as_json_and_as_a_link(tab: Tab, seeded: SeededStudy) -> None:
    page = tab.open(samples(d=SHIFT.target, f="wrong"))
    index = order(page)[0]
    card = page.locator(f"#sample-{index}")
    card.get_by_role("button", name="Copy as JSON").click()
    card.get_by_role("button", name="Copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    example = Distribution(ROOT / "distributions" / SHIFT.target).test[index]
    assert (copied["prompt"], copied["best"], copied["worse"]) == (
        example.prompt,
        example.best_response,
        list(example.worse_responses),
    )
    given = copied["probabilities"]["mms/tiny-starter_everyday-seed1"]
    assert given == pytest.approx(means(seeded, "mms")[1, index], abs=1e-4)
    card.get_by_role("button", name="Copy as JSON").wait_for()
    card.get_by_role("button", name="Copy link").click()
    card.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    tab.open(link.removeprefix(tab.folder.as_uri() + "/"))
    assert page.locator(".sample.meant").get_attribute("id") == f"sample-{index}"


def test_a_conversation_is_shown_as_turns(chromium: Any, tmp_path: Path) -> None:
    example = {
        "prompt": [{"role": role, "content": text} for role, text in TURNS],
        "responses": {"No.": 1.0, "Yes.": 0.0},
    }
    for split in ("train", "test"):
        path = tmp_path / "distributions" / "talk" / f"{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([example]), encoding="utf-8")
    write_report(tmp_path / "report", Content(None, tmp_path / "distributions"))
    tab = Tab(chromium, tmp_path / "report")
    page = tab.open(samples(d="talk"))
    prompt = page.locator(".prompt")
    assert prompt.locator("h3").all_text_contents() == [role for role, _ in TURNS]
    assert prompt.locator(".text").all_text_contents() == [text for _, text in TURNS]
    tab.context.close()
    assert tab.faults == []
