"""The report in a real browser: every page opens, what can be clicked works, and text from data stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import combinations
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest

from genies.data.distribution import Distribution
from genies.data.shifts import Shift
from genies.report.comparing import PairedDifferences
from genies.report.pages import shift_page_name
from genies.report.reading import read_study
from genies.report.summary import summarize
from genies.report.writing import Content, write_report
from tests.report.conftest import Tab, loaded
from tests.support.made_report import HOSTILE, HOSTILE_TEXTS, INTERVENTIONS, LONG, SHIFTS, MadeReport
from tests.support.present import present
from tests.support.seeded_results import SeededStudy
from tests.support.written_results import WrittenResults

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def shows(page: Any, selector: str, count: int) -> None:
    """Wait until so many elements are there: `count()` alone does not wait, and the pages allow no evaluated text."""
    if count:
        page.locator(selector).nth(count - 1).wait_for()
    page.locator(selector).nth(count).wait_for(state="detached")


def samples(**view: object) -> str:
    return "samples.html#" + urlencode(view)


def addresses(made: MadeReport) -> list[str]:
    """Every page, and views of those whose content depends on the address."""
    pages = [quote(path.name) for path in sorted(made.folder.glob("*.html"))]
    views = [samples(d="starter_everyday"), samples(d=HOSTILE), samples(d="starter_ordering", f="disagree")]
    return [
        *pages,
        *views,
        "compare.html#" + urlencode({"a": "mms", "b": "zero_shot", "s": "starter_sums>starter_everyday"}),
    ]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_every_page_opens_without_a_fault_and_nothing_overflows(
    chromium: Any, made: MadeReport, width: int, scheme: Any
) -> None:
    tab = Tab(chromium, made.folder, width, color_scheme=scheme)
    for address in addresses(made):
        page = tab.open(address)
        assert page.locator("h1:visible").count() == 1, address
        assert page.evaluate(OVERFLOW) <= 0, f"{address} is wider than {width} pixels"
    tab.context.close()
    assert tab.faults == []


BROKEN_WORDS = """heads => heads.flatMap(head => {
  const found = [], walker = document.createTreeWalker(head, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    if (/^[A-Za-z]+_?$/.test(range.toString()) && range.getClientRects().length > 1) found.push(range.toString());
  }
  return found;
})"""


def test_a_narrow_table_shows_its_figures_whole_words_and_the_lines_of_its_rows(
    chromium: Any, made: MadeReport
) -> None:
    tab = Tab(chromium, made.folder, 400)
    page = tab.open("index.html")
    assert page.eval_on_selector_all("table.heat thead th", BROKEN_WORDS) == []
    page = tab.open("compare.html#" + urlencode({"a": "lora_fine_tune", "b": "zero_shot"}))
    assert page.eval_on_selector_all("table.heat thead th", BROKEN_WORDS) == []
    box = page.locator(".scroll", has=page.locator("#rows")).bounding_box()
    cell = page.locator("#rows tr:first-child td:nth-of-type(2)").bounding_box()
    assert cell["x"] + cell["width"] <= box["x"] + box["width"]
    style = (
        "row => { const { position, borderBottomWidth } = getComputedStyle(row); return [position, borderBottomWidth] }"
    )
    assert page.locator("#rows th").first.evaluate(style) == ["sticky", "1px"]
    # Borders that several cells share stay behind when one of the cells does not scroll along.
    collapse = "tables => tables.map(table => getComputedStyle(table).borderCollapse)"
    assert set(page.eval_on_selector_all("table", collapse)) == {"separate"}
    tab.context.close()
    assert tab.faults == []


def test_every_link_inside_the_report_leads_to_something(tab: Tab, made: MadeReport) -> None:
    for address in addresses(made):
        page = tab.open(address)
        for href in page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            assert href.startswith(made.folder.as_uri()), href
            path, _, fragment = href.removeprefix(made.folder.as_uri() + "/").partition("#")
            assert path in ("", *[quote(each.name) for each in made.folder.iterdir()]) or path.startswith(
                ("tables/", "figures/")
            )
            if fragment and "=" not in fragment and path == address.partition("#")[0]:
                assert page.locator(f"[id='{fragment}']").count() == 1, href


def test_first_page_loads_less_than_a_megabyte(chromium: Any, made: MadeReport) -> None:
    tab = Tab(chromium, made.folder)
    for address in ("index.html", samples(d="starter_everyday"), samples(d=HOSTILE)):
        asked: list[str] = []
        tab.page.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.open(address)
        files = {url.partition("#")[0] for url in asked if url.startswith("file:")}
        sizes = [path.stat().st_size for path in made.folder.rglob("*") if path.as_uri() in files]
        assert len(sizes) >= 4
        assert sum(sizes) < 1_000_000
    tab.context.close()


def test_tabs_show_one_group_at_a_time_and_follow_the_address(tab: Tab) -> None:
    page = tab.open("index.html")
    assert page.locator("[role=tabpanel]:visible").count() == 1
    page.get_by_role("tab", name="probing").click()
    panel = page.locator("[role=tabpanel]:visible")
    assert panel.count() == 1
    assert "probing" in panel.get_by_role("region").first.get_attribute("aria-label")
    named = page.url.partition("#")[2]
    page.keyboard.press("ArrowRight")
    assert not page.get_by_role("tab", selected=True).text_content().startswith("probing")
    tab.open(f"index.html#{named}")
    assert page.get_by_role("tab", selected=True).text_content().startswith("probing")


def test_a_heading_sorts_the_rows_by_their_figures_both_ways(tab: Tab) -> None:
    page = tab.open("index.html")
    table = page.locator("table.sortable").first

    def column(place: int) -> list[float]:
        cells = table.locator(f"tbody tr td:nth-of-type({place})")
        return [float(value) for value in cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)") if value]

    heading = table.locator("th", has_text="on the source").get_by_role("button")
    heading.click()
    assert column(5) == sorted(column(5), reverse=True)
    heading.click()
    assert column(5) == sorted(column(5))
    assert len(column(5)) > 1
    # The best value is first: of p-values and errors, the lowest.
    table.locator("th", has_text="adjusted p").get_by_role("button").click()
    assert column(3) == sorted(column(3))
    page.locator("summary", has_text="More metrics").first.click()
    more = page.locator("table.sortable").nth(1)
    more.locator("th", has_text="log loss").get_by_role("button").click()
    assert more.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_copy_puts_the_table_into_the_clipboard(chromium: Any, made: MadeReport) -> None:
    tab = Tab(chromium, made.folder, permissions=["clipboard-read", "clipboard-write"])
    page = tab.open("index.html")
    page.locator("summary", has_text="More metrics").first.click()
    for format in ("Markdown", "LaTeX", "CSV"):
        button = page.locator(f"[data-copy=group-0][data-format={format}]")
        button.click()
        page.locator(f"[data-copy=group-0][data-format={format}]", has_text="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.replace("\r\n", "\n") == loaded(made.folder, "copies/group-0")[format].replace("\r\n", "\n")
        assert "lora" in copied
    tab.context.close()


def test_each_row_of_the_heat_map_is_one_tab_stop_and_arrows_move_in_it(tab: Tab) -> None:
    page = tab.open("index.html")
    rows = page.locator("table.heat tr[data-cells]")
    stops = "row => [...row.querySelectorAll('a, [tabindex]')].filter(each => each.tabIndex === 0).length"
    assert {row.evaluate(stops) for row in rows.all()} == {1}
    page.locator("table.heat tr[data-cells] th a").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').rowIndex") == rows.nth(1).evaluate("row => row.rowIndex")
    assert page.evaluate("document.activeElement.closest('td').cellIndex") == 1


def test_the_heat_map_switches_between_accuracies_and_differences(tab: Tab, made: MadeReport) -> None:
    page = tab.open("index.html")
    cell = page.locator("tr[data-cells]", has_text="starter_sums → starter_everyday").locator("td a").nth(1)
    name = page.locator("table.heat thead th").nth(2).text_content()
    ours = made.evaluation(name, "starter_sums", "starter_everyday")["eval_accuracy"]
    theirs = made.evaluation("zero_shot", None, "starter_everyday")["eval_accuracy"]
    assert cell.inner_text().lstrip("▲▼").strip().startswith(f"{ours:.2f}")
    page.get_by_role("button", name="Difference", exact=True).click()
    assert f"{ours - theirs:+.2f}".replace("-", "−") in cell.inner_text()
    assert f"{ours:.2f}" not in cell.inner_text()


def test_heat_map_tells_of_a_cell_by_pointer_and_by_keyboard(tab: Tab, made: MadeReport) -> None:
    page = tab.open("index.html")
    accuracy = made.evaluation("lora_fine_tune", "starter_everyday", "starter_sums")["eval_accuracy"]
    row = page.locator("table.heat tr", has_text="starter_everyday → starter_sums")
    page.locator("table.heat th", has_text="lora").first.scroll_into_view_if_needed()
    names = [text.strip() for text in page.locator("table.heat thead th").all_text_contents()]
    cell = row.locator("td").nth(names.index("lora_fine_tune") - 1)
    cell.hover()
    box = page.get_by_role("tooltip")
    box.wait_for()
    assert f"{accuracy:.3f}" in box.text_content()
    for words in ("95 % interval", "against the baseline", "100 examples", "1 seed", "verified", "commit"):
        assert words in box.text_content()
    hole = row.locator("td.hole span")
    hole.focus()
    assert "no evaluation: mms tuned on starter_everyday, tested on starter_sums" in box.text_content()
    page.keyboard.press("Escape")
    assert not box.is_visible()


def test_an_evaluation_without_provenance_is_called_unverified(tab: Tab) -> None:
    page = tab.open(quote(shift_page_name(SHIFTS[1])))
    assert page.get_by_text("unverified").count() >= 2
    summary = page.locator(".provenance summary", has_text="mms, on the target")
    assert "unverified" in summary.text_content()
    page.locator(".provenance summary", has_text="lora_fine_tune, on the target").click()
    shown = page.locator(".provenance details[open]").text_content()
    for words in ("eval.py", "fingerprint", "torch 2.13.0", "float32", "cpu", "verified"):
        assert words in shown


def scores_of(made: MadeReport, intervention: str, source: str | None, target: str) -> list[list[float]]:
    """The probabilities of each test example, straight from the file."""
    value = made.evaluation(intervention, source, target)
    examples = Distribution(made.distributions / target).test
    found: list[list[float]] = [[] for _ in examples]
    for index, p in zip(value["eval_example_indices"], value["eval_probabilities"], strict=True):
        found[index].append(p)
    return found


def right_pairs(p: list[float]) -> float:
    return sum(1.0 if each > 0.5 else 0.5 if each == 0.5 else 0.0 for each in p)


def is_right(p: list[float]) -> bool:
    return min(p) > 0.5


def is_wrong(p: list[float]) -> bool:
    return min(p) < 0.5


def test_comparison_shows_what_the_files_say_for_any_two_interventions(tab: Tab, made: MadeReport) -> None:
    page = tab.open("compare.html")
    for first, second in [("mms", "zero_shot"), ("zero_shot", "lora_fine_tune"), (INTERVENTIONS[3], "mms")]:
        options = page.locator("#first option").all_text_contents()
        page.locator("#first").select_option(index=options.index(first))
        page.locator("#second").select_option(index=options.index(second))
        row = page.locator("#rows tr", has_text="starter_sums → starter_everyday")
        sources = (None if name == "zero_shot" else "starter_sums" for name in (first, second))
        names = zip((first, second), sources, strict=True)
        ours, theirs = (made.evaluation(name, source, "starter_everyday") for name, source in names)
        difference = ours["eval_accuracy"] - theirs["eval_accuracy"]
        assert row.locator("td").nth(1).text_content().startswith(f"{difference:+.3f}".replace("-", "−"))
        right = [np.sign(np.array(each["eval_probabilities"]) - 0.5) for each in (ours, theirs)]
        only = [np.count_nonzero(right[0] > right[1]), np.count_nonzero(right[0] < right[1])]
        assert [row.locator("td").nth(place).text_content() for place in (3, 4)] == [str(count) for count in only]
    row = page.locator("#rows tr", has_text="starter_everyday → starter_sums")
    assert "not both evaluated" in row.text_content()


def test_the_comparison_says_what_the_tables_say_of_two_interventions(tab: Tab, made: MadeReport) -> None:
    summary = summarize(read_study(made.results, distributions_dir=made.distributions))
    differences = PairedDifferences(summary)
    said = []
    for first, second in combinations(INTERVENTIONS, 2):
        tab.open("compare.html#" + urlencode({"a": first, "b": second}))
        pair = differences.compare(summary.groups[0], ("tiny", first), ("tiny", second))
        verdict = tab.text("#verdict")
        words = {
            "higher": "is significantly more accurate than",
            "lower": "is significantly less accurate than",
            "not significant": "is not significantly different from",
        }[present(pair.mean).verdict]
        assert f"On average, {first} {words} {second}: " in verdict
        assert f"{present(pair.mean).value:+.3f}".replace("-", "−") in verdict
        better = sum(found is not None and found.verdict == "higher" for _, found in pair.shifts.values())
        assert f"significantly better on {better} of {len(pair.shifts)} shifts" in verdict
        said.append(present(pair.mean).verdict)
    assert len(set(said)) > 1


def test_flipped_samples_are_counted_and_lead_to_the_browser(tab: Tab, made: MadeReport) -> None:
    view = {"a": "mms", "b": "zero_shot", "s": "starter_sums>starter_everyday"}
    page = tab.open("compare.html#" + urlencode(view))
    ours = scores_of(made, "mms", "starter_sums", "starter_everyday")
    theirs = scores_of(made, "zero_shot", None, "starter_everyday")
    gained = [i for i in range(len(ours)) if right_pairs(ours[i]) > right_pairs(theirs[i])]
    page.locator("#flips h3").first.wait_for()
    assert f"is better: {len(gained)} prompts" in page.locator("#flips h3").first.text_content()
    row = page.locator("#rows tr", has_text="starter_sums → starter_everyday")
    assert row.locator("td").nth(3).text_content() == str(len(gained))
    shown = page.locator("#flips .flips").first.locator("a.number").all_text_contents()
    assert shown == [f"#{index}" for index in gained[:12]]
    page.locator("#flips a", has_text="all of them").first.click()
    page.locator("#sample-" + str(gained[0])).wait_for()
    assert page.locator(".sample").count() == min(50, len(gained))


FILTERS: dict[str, Callable[[list[float], list[float]], bool]] = {
    "right": lambda a, b: is_right(a),
    "wrong": lambda a, b: is_wrong(a),
    "tie": lambda a, b: not is_right(a) and not is_wrong(a),
    "confident": lambda a, b: min(a) <= 0.1,
    "disagree": lambda a, b: (is_right(a), is_wrong(a)) != (is_right(b), is_wrong(b)),
    "gained": lambda a, b: right_pairs(a) > right_pairs(b),
    "lost": lambda a, b: right_pairs(a) < right_pairs(b),
}


def test_filters_let_through_what_the_files_say(tab: Tab, made: MadeReport) -> None:
    first, second = "lora_fine_tune/tiny-starter_everyday", "zero_shot/tiny"
    page = tab.open(samples(d="starter_ordering", a=first, b=second))
    a = scores_of(made, "lora_fine_tune", "starter_everyday", "starter_ordering")
    b = scores_of(made, "zero_shot", None, "starter_ordering")
    for name, passes in FILTERS.items():
        wanted = [index for index in range(len(a)) if passes(a[index], b[index])]
        chip = page.locator(f"[data-filter={name}]")
        assert chip.locator(".count").text_content() == str(len(wanted)), name
        chip.click()
        page.locator(f"[data-filter={name}][aria-current]").wait_for()
        shows(page, ".sample", min(50, len(wanted)))
        shown = [int(text.lstrip("#")) for text in page.locator("a.number").all_text_contents()]
        assert shown == wanted[:50], name
        assert page.locator("#empty").is_visible() == (not wanted)


def test_examples_that_nothing_was_evaluated_on_are_counted_and_say_so(
    chromium: Any, made: MadeReport, tmp_path: Any
) -> None:
    shift, results = Shift("starter_everyday", "starter_sums"), WrittenResults(tmp_path / "results")
    examples = Distribution(made.distributions / shift.target).test
    indices = [example.index for example in examples[:30] for _ in example.worse_responses]
    results.evaluation("mms", "base-starter_everyday", shift.target, [0.9] * len(indices), indices)
    results.table("mms", [shift])
    write_report(tmp_path / "report", Content(tmp_path / "results", made.distributions))
    tab = Tab(chromium, tmp_path / "report")
    page = tab.open(samples(d=shift.target))
    assert page.locator("#legend").is_visible()
    assert page.locator("[data-filter=right] .count").text_content() == "30"
    assert page.locator("[data-filter=unevaluated] .count").text_content() == str(len(examples) - 30)
    page.locator("[data-filter=unevaluated]").click()
    page.locator("[data-filter=unevaluated][aria-current]").wait_for()
    page.locator("#sample-0").wait_for(state="detached")
    card = page.locator(".sample").first
    assert card.get_attribute("id") == "sample-30"
    assert card.locator(".verdict").text_content() == "not evaluated"
    assert "No intervention was evaluated on this example." in card.text_content()
    tab.context.close()
    assert tab.faults == []


def test_all_examples_evaluated_offer_no_filter_for_others(tab: Tab) -> None:
    page = tab.open(samples(d="starter_everyday"))
    assert page.locator("[data-filter=unevaluated]").count() == 0
    assert page.get_by_text("not evaluated").count() == 0


def test_leaked_examples_are_marked_with_where_their_prompt_was_seen(tab: Tab) -> None:
    page = tab.open(samples(d=HOSTILE, f="leaked"))
    assert page.locator(".sample").count() == 2
    assert "prompt in its train split" in page.locator(".sample .leaked").first.text_content()


def test_search_finds_words_in_prompts_and_responses_and_pages_hold_fifty(tab: Tab, made: MadeReport) -> None:
    page = tab.open(samples(d="starter_everyday"))
    assert page.locator(".sample").count() == 50
    assert "1–50 of 100" in tab.text("#status")
    page.keyboard.press("n")
    page.locator("#sample-50").wait_for()
    assert "51–100 of 100" in tab.text("#status")
    examples = Distribution(made.distributions / "starter_everyday").test
    word = max(re.findall(r"\w+", examples[77].best_response), key=len)
    hits = [e.index for e in examples if any(word.lower() in t.lower() for t in (e.prompt_text, *e.responses))]
    page.keyboard.press("/")
    page.keyboard.type(word)
    shows(page, ".sample", len(hits))
    assert [int(text.lstrip("#")) for text in page.locator("a.number").all_text_contents()] == hits
    assert page.locator("mark").first.text_content().lower() == word.lower()
    page.locator("#search").fill("no such words anywhere")
    page.locator("#empty").wait_for()
    page.locator("#reset").click()
    page.locator("#sample-0").wait_for()


def test_a_deep_link_leads_to_its_sample(tab: Tab, made: MadeReport) -> None:
    page = tab.open(samples(d="starter_everyday", i=77))
    example = Distribution(made.distributions / "starter_everyday").test[77]
    meant = page.locator(".sample.meant")
    assert meant.get_attribute("id") == "sample-77"
    assert meant.locator(".prompt .text").text_content() == example.prompt
    assert meant.locator(".response.best .text").text_content() == example.best_response
    assert meant.locator(".response.worse .text").all_text_contents() == list(example.worse_responses)
    assert page.evaluate("document.activeElement.id") == "sample-77"
    top = meant.bounding_box()["y"]
    assert 0 <= top < 300
    p = scores_of(made, "mms", "starter_sums", "starter_everyday")[77]
    chip = meant.locator(".group", has_text="starter_sums").locator(".score", has_text="mms")
    assert chip.locator(".p").all_text_contents() == [f"{value:.2f}".removeprefix("0") for value in p]
    page.locator("[data-filter=all]").click()
    page.go_back()
    meant.wait_for()


def test_hostile_text_stays_text(tab: Tab) -> None:
    page = tab.open(samples(d=HOSTILE))
    cards = page.locator(".sample")
    assert cards.count() == len(HOSTILE_TEXTS) + 1

    def spelled_out(text: str) -> str:
        return re.sub("[\x00\u202c\u202e\u2028\u2029\u2067\u2069]", lambda found: f"U+{ord(found.group()):04X}", text)

    for number, text in enumerate(HOSTILE_TEXTS):
        best = cards.nth(number).locator(".response.best .text").text_content()
        assert best == (spelled_out(text) or "(empty)")
        prompt = cards.nth(number).locator(".prompt .text").text_content()
        assert prompt == f"Question {number}: {spelled_out(text)}"
    assert cards.nth(len(HOSTILE_TEXTS)).locator(".response.best .text").text_content() == "__proto__"
    for address in ("index.html", "compare.html", quote(shift_page_name(SHIFTS[4])), samples(d=HOSTILE)):
        tab.open(address)
        page.wait_for_timeout(100)
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main script:not([type='application/json'])").count() == 0
    assert HOSTILE in tab.text("h1:visible")


def test_a_line_of_a_megabyte_is_cut_and_shown_whole_when_asked(tab: Tab) -> None:
    page = tab.open(samples(d=HOSTILE, i=len(HOSTILE_TEXTS)))
    prompt = page.locator(".sample.meant .prompt")
    assert len(prompt.locator(".text").text_content()) < 20_000
    prompt.get_by_role("button", name="Show all 1,000,007 characters").click()
    shows(page, ".sample.meant .prompt .more", 0)
    assert prompt.locator(".text").text_content() == LONG + "the end"
    page.locator("#search").fill("word the end")
    shows(page, ".sample", 1)


def test_theme_follows_the_system_and_the_choice_is_kept(chromium: Any, made: MadeReport) -> None:
    tab = Tab(chromium, made.folder, color_scheme="dark")
    page = tab.open("index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Switch between light and dark").click()
    light = page.evaluate(background)
    assert light != dark
    tab.open("compare.html")
    assert page.evaluate(background) == light
    tab.context.close()
    assert tab.faults == []


def test_tables_are_readable_without_javascript(chromium: Any, made: MadeReport) -> None:
    tab = Tab(chromium, made.folder, java_script_enabled=False)
    page = tab.open("index.html")
    panels = page.locator("section[role=tabpanel]")
    assert panels.count() > 3
    assert all(panel.is_visible() for panel in panels.all())
    accuracy = made.evaluation("lora_fine_tune", "starter_sums", "starter_everyday")["eval_accuracy"]
    row = page.locator("table.heat tr", has_text="starter_sums → starter_everyday")
    assert f"{accuracy:.2f}" in row.text_content()
    tab.open("compare.html")
    assert page.locator("table.heat td").first.is_visible()
    assert page.get_by_text("requires JavaScript").is_visible()
    tab.open("samples.html")
    assert page.get_by_role("row", name="starter_everyday").is_visible()
    tab.context.close()


def test_distributions_alone_can_be_browsed(chromium: Any, made: MadeReport, tmp_path: Any) -> None:
    write_report(tmp_path / "samples", Content(None, made.distributions, splits=("train", "test")))
    tab = Tab(chromium, tmp_path / "samples")
    page = tab.open("index.html")
    assert page.locator("nav[aria-label=Pages] a").all_text_contents() == ["Samples"]
    page.get_by_role("link", name="starter_sums").click()
    page.locator("#sample-0").wait_for()
    assert page.locator("#first-field").is_hidden()
    page.locator("#split").select_option("train")
    first = json.loads((made.distributions / "starter_sums" / "train.json").read_text(encoding="utf-8"))[0]
    page.locator("#sample-0 .text", has_text=first["prompt"].splitlines()[-1]).first.wait_for()
    tab.context.close()
    assert tab.faults == []


def test_several_base_models_and_seeds_stand_side_by_side(chromium: Any, made: MadeReport, tmp_path: Any) -> None:
    shifts = [SHIFTS[0], SHIFTS[3]]
    studies = [SeededStudy(tmp_path / "results", made.distributions, base_model=name) for name in ("small", "large")]
    for study in studies:
        study.write(shifts, ("mms", "ccs"), (0, 1))
    write_report(tmp_path / "report", Content(tmp_path / "results", made.distributions))
    tab = Tab(chromium, tmp_path / "report")
    page = tab.open("index.html")
    interventions = page.locator("table.sortable").first
    assert interventions.locator("tr.model:visible").all_text_contents() == ["large"]
    page.locator("[data-models] select").select_option("small")
    assert interventions.locator("tr.model:visible").all_text_contents() == ["small"]
    assert page.locator("table.matrix thead th").all_text_contents() == ["Intervention", "large", "small"]
    assert page.locator(".lead").count() == 1
    assert "seeds 0, 1" in page.locator(".setup").first.text_content()
    page = tab.open("compare.html#" + urlencode({"a": "ccs, small", "b": "mms, small"}))

    def accuracy(intervention: str) -> float:
        files = [studies[0].evaluation_file(intervention, "starter_sums", seed, "starter_everyday") for seed in (0, 1)]
        return float(np.mean([json.loads(path.read_text(encoding="utf-8"))["eval_accuracy"] for path in files]))

    shown = page.locator("#rows tr", has_text="starter_sums").locator("td").nth(1).text_content()
    assert shown.startswith(f"{accuracy('ccs') - accuracy('mms'):+.3f}".replace("-", "−"))
    page.locator("#second").select_option(label="ccs, large")
    page.locator("#left-end", has_text="ccs, large").wait_for()
    files = [studies[1].evaluation_file("ccs", "starter_sums", seed, "starter_everyday") for seed in (0, 1)]
    other = float(np.mean([json.loads(path.read_text(encoding="utf-8"))["eval_accuracy"] for path in files]))
    shown = page.locator("#rows tr", has_text="starter_sums").locator("td").nth(1).text_content()
    assert shown.startswith(f"{accuracy('ccs') - other:+.3f}".replace("-", "−"))
    assert page.locator("#second option", has_text="mms, large").is_disabled()
    page = tab.open(quote(shift_page_name(shifts[1])))
    assert page.locator(".figures tbody tr").count() == 4
    assert "Means over 2 seeds" in page.content()
    for address in ("index.html", "compare.html", quote(shift_page_name(shifts[1])), samples(d="starter_everyday")):
        assert tab.open(address).evaluate(OVERFLOW) <= 0
    tab.context.close()
    assert tab.faults == []
