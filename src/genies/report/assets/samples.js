// The sample browser. The address after # determines the view, so that every view has a link:
// d distribution, s split, f filter, a and b evaluations, q search, o order, l and h range of scores, e single seeds,
// p page, i example. Without d, q searches all distributions.
"use strict";
(function () {
  const { cards, make, show, showName, standing } = genies;
  const A_PAGE = 50;
  const CONFIDENT = 0.9;
  const distributions = genies.embedded("distributions");
  const at = (id) => document.getElementById(id);
  const browser = at("browser");
  const number = new Intl.NumberFormat("en");

  const FILTERS = [
    { id: "all", title: "All", test: () => true },
    { id: "right", title: "Right", test: (x) => standing(x.a) === "right", needs: "a" },
    { id: "wrong", title: "Wrong", test: (x) => standing(x.a) === "wrong", needs: "a" },
    { id: "tie", title: "Tie", test: (x) => standing(x.a) === "tie", needs: "a" },
    { id: "unevaluated", title: "Not evaluated", test: (x) => x.a === null, needs: "a", whereSome: true },
    { id: "confident", title: "Confident and wrong", test: (x) => Boolean(x.a?.some((p) => p <= 1 - CONFIDENT)), needs: "a" },
    {
      id: "disagree",
      title: "The two disagree",
      test: (x) => Boolean(x.a && x.b) && standing(x.a) !== standing(x.b),
      needs: "b",
    },
    {
      id: "gained",
      title: "Better in the first",
      test: (x) => x.difference > 1e-9,
      needs: "b",
    },
    {
      id: "lost",
      title: "Better in the second",
      test: (x) => x.difference < -1e-9,
      needs: "b",
    },
    { id: "leaked", title: "Leaked", test: (x) => x.leaks.length > 0, needs: "leaks" },
    { id: "tokens", title: "Log-probabilities by token", test: (x) => x.tokens, needs: "tokens" },
  ];

  const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;

  const ORDERS = [
    { id: "index", title: "Order of the file" },
    { id: "margin", title: "Margin, lowest first", needs: "a", value: (x) => (x.a ? mean(x.a) : 2) },
    {
      id: "disagreement",
      title: "Largest disagreement",
      needs: "b",
      value: (x) => (x.a && x.b ? -Math.abs(mean(x.a) - mean(x.b)) : 1),
    },
    { id: "seeds", title: "Largest variation over seeds", needs: "seeds", value: (x) => -x.spread },
  ];

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const distribution = distributions.find((each) => each.name === given.get("d"));
    if (!distribution) return { unknown: given.get("d") };
    const split = distribution.splits.find((each) => each.name === given.get("s")) ?? distribution.splits.at(-1);
    return {
      distribution,
      split,
      filter: FILTERS.find((each) => each.id === given.get("f")) ?? FILTERS[0],
      a: given.get("a"),
      b: given.get("b"),
      query: given.get("q") ?? "",
      terms: genies.terms(given.get("q") ?? ""),
      order: ORDERS.find((each) => each.id === given.get("o")) ?? ORDERS[0],
      low: limit(given.get("l"), 0),
      high: limit(given.get("h"), 1),
      seeds: given.get("e") === "1",
      page: Math.max(1, Number.parseInt(given.get("p") ?? "1", 10) || 1),
      example: given.has("i") ? Number.parseInt(given.get("i"), 10) : null,
    };
  }

  function limit(text, otherwise) {
    const value = Number.parseFloat(text ?? "");
    return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : otherwise;
  }

  /** The address of the current view with changes. Changes other than of the page start at the first page. */
  function address(changes) {
    const given = new URLSearchParams(location.hash.slice(1));
    given.delete("i");
    if (!("p" in changes)) given.delete("p");
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") given.delete(name);
      else given.set(name, value);
    }
    return "#" + given.toString();
  }

  let turn = 0;

  async function view() {
    const mine = ++turn;
    browser.ariaBusy = "true";
    await draws(mine, read());
    if (mine === turn) browser.ariaBusy = "false";
  }

  async function draws(mine, state) {
    if (!state.distribution) {
      browser.hidden = true;
      at("list").hidden = false;
      at("unknown").hidden = !state.unknown;
      if (state.unknown) {
        at("unknown").replaceChildren("There is no distribution called “", show(make("b"), state.unknown), "” in this report.");
      }
      document.title = at("list").dataset.title;
      await searchAll(mine);
      return;
    }
    at("list").hidden = true;
    browser.hidden = false;
    document.title = state.distribution.name + " · samples · GENIES";
    try {
      const scored = state.distribution.scores && state.split.name === "test";
      state.scores = scored ? await genies.load("scores/" + state.distribution.file) : { evaluations: [], leaks: [] };
      const scoredTokens = scored && state.distribution.tokens;
      state.tokens = scoredTokens ? await genies.load("tokens/" + state.distribution.file) : null;
      if (mine !== turn) return;
      choose(state);
      controls(state);
      state.found = await matching(state, () => mine === turn);
      if (mine !== turn) return;
      chips(state);
      const examples = listed(state);
      const shown = place(state, examples);
      const texts = await textsOf(state, shown.indices);
      if (mine !== turn) return;
      draw(state, examples, shown, texts);
    } catch (error) {
      at("status").textContent = error.message;
    }
  }

  /** The evaluations with the same intervention, model and source as one: the mean over seeds first, then each seed. */
  function groups(evaluations) {
    const by = new Map();
    for (const each of evaluations) {
      each.members = [each];
      if (!by.has(each.group)) by.set(each.group, []);
      by.get(each.group).push(each);
    }
    return [...by.values()].map((members) => {
      if (members.length === 1) return members[0];
      const p = members[0].p.map((_, index) => {
        const known = members.map((each) => each.p[index]).filter(Boolean);
        return known.length < members.length ? 0 : known[0].map((_, pair) => mean(known.map((each) => each[pair])));
      });
      return { ...members[0], key: members[0].group, seed: null, p, members, accuracy: mean(members.map((each) => each.accuracy)) };
    });
  }

  /** Select the evaluations in the address, or else the best intervention and the untuned model. */
  function choose(state) {
    state.scores.choices ??= groups(state.scores.evaluations);
    state.choices = state.scores.choices;
    const all = [...state.choices, ...state.scores.evaluations];
    const untuned = state.choices.find((each) => each.source === null);
    const others = [untuned?.intervention, "random"];
    const tuned = state.choices.filter((each) => each.source !== state.distribution.name && !others.includes(each.intervention));
    const best = tuned.toSorted((one, other) => other.accuracy - one.accuracy)[0];
    state.first = all.find((each) => each.key === state.a) ?? best ?? state.choices[0];
    state.second =
      all.find((each) => each.key === state.b && each !== state.first) ??
      [untuned, ...state.choices].find((each) => each && each !== state.first);
    state.seeds ||= Boolean(state.first?.seed !== null && state.first?.group !== state.first?.key) && all.some((each) => each.members.length > 1);
    state.leaks = new Map();
    for (const [where, indices] of state.scores.leaks) {
      for (const index of indices) state.leaks.set(index, [...(state.leaks.get(index) ?? []), where]);
    }
    if (!offered(state, state.filter)) state.filter = FILTERS[0];
    if (!offered(state, state.order)) state.order = ORDERS[0];
  }

  function offered(state, filter) {
    if (filter.needs === "a") return Boolean(state.first);
    if (filter.needs === "b") return Boolean(state.second);
    if (filter.needs === "seeds") return state.first?.members.length > 1;
    if (filter.needs === "leaks") return state.leaks.size > 0 || state.distribution.leaked !== null;
    if (filter.needs === "tokens") return Boolean(state.tokens);
    return true;
  }

  function standingOf(state, index) {
    const [a, b] = [state.first?.p[index] || null, state.second?.p[index] || null];
    const tokens = Boolean(state.tokens?.examples.includes(index));
    return { a, b, difference: differenceOf(state, a, b, index), leaks: state.leaks.get(index) ?? [], tokens };
  }

  /** By how many right pairs the first is better than the second, in the mean over seeds, as in the comparison. */
  function differenceOf({ first, second }, a, b, index) {
    return a && b ? genies.rightPairs(first.members, index) - genies.rightPairs(second.members, index) : 0;
  }

  /** Standard deviation over the seeds of the mean probability of an example. */
  function spreadOf(state, index) {
    if (!state.first.p[index]) return -1;
    const values = state.first.members.map((each) => mean(each.p[index]));
    const centre = mean(values);
    return Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
  }

  function options(select, names, chosen) {
    select.replaceChildren(
      ...names.map(([value, title]) => {
        const option = make("option", "", title);
        option.value = value;
        option.selected = value === chosen;
        return option;
      }),
    );
  }

  function controls(state) {
    const { distribution, split } = state;
    options(at("distribution"), distributions.map((each) => [each.name, each.name]), distribution.name);
    options(at("split"), distribution.splits.map((each) => [each.name, each.name]), split.name);
    at("split-field").hidden = distribution.splits.length < 2;
    const { evaluations } = state.scores;
    at("first-field").hidden = evaluations.length === 0;
    at("second-field").hidden = evaluations.length < 2;
    at("range-field").hidden = evaluations.length === 0;
    const seeded = state.choices.some((each) => each.members.length > 1);
    at("seeds-field").hidden = !seeded;
    at("seeds").checked = state.seeds;
    if (state.first) grouped(state, at("first"), state.first);
    if (state.second) grouped(state, at("second"), state.second);
    const orders = ORDERS.filter((each) => offered(state, each));
    at("order-field").hidden = orders.length < 2;
    options(at("order"), orders.map((each) => [each.id, each.title]), state.order.id);
    for (const [id, value, otherwise] of [["low", state.low, 0], ["high", state.high, 1]]) {
      if (document.activeElement !== at(id)) at(id).value = value === otherwise ? "" : String(value);
    }
    if (document.activeElement !== at("search")) at("search").value = state.query;
    at("legend").hidden = evaluations.length === 0;
    at("about").hidden = distribution.about.length === 0;
    at("about-facts").replaceChildren(
      ...distribution.about.flatMap(([name, words]) => [show(make("dt"), name), show(make("dd"), words)]),
    );
    at("title").replaceChildren(showName(make("span"), distribution.name));
  }

  /** The options of a list of evaluations, grouped by intervention: means over seeds first, then single seeds. */
  function grouped(state, select, chosen) {
    const by = new Map();
    for (const each of state.choices) {
      if (!by.has(each.intervention)) by.set(each.intervention, []);
      by.get(each.intervention).push(each);
      if (each.members.length > 1) {
        by.get(each.intervention).push(...each.members.filter((seed) => state.seeds || seed === chosen));
      }
    }
    select.replaceChildren(
      ...[...by].map(([intervention, members]) => {
        const group = make("optgroup");
        group.label = intervention;
        for (const each of members) {
          const option = make("option", "", cards.nameOf(state, each));
          option.value = each.key;
          option.selected = each === chosen;
          group.append(option);
        }
        return group;
      }),
    );
  }

  /** The filters, with the number of examples that match each together with the search and the range of scores. */
  function chips(state) {
    const counts = new Map(FILTERS.map((each) => [each.id, 0]));
    for (let index = 0; index < state.split.examples; index++) {
      if (!passes(state, index)) continue;
      const has = standingOf(state, index);
      for (const filter of FILTERS) if (filter.test(has)) counts.set(filter.id, counts.get(filter.id) + 1);
    }
    const kept = (each) => !each.whereSome || counts.get(each.id) > 0 || each === state.filter;
    const wanted = FILTERS.filter((each) => offered(state, each) && kept(each));
    at("filters").replaceChildren(
      ...(wanted.length < 2 ? [] : wanted).map((each) => {
        const link = make("a", "chip", each.title + " ", make("span", "count", number.format(counts.get(each.id))));
        link.href = address({ f: each.id === "all" ? null : each.id });
        link.dataset.filter = each.id;
        if (each === state.filter) link.setAttribute("aria-current", "true");
        return link;
      }),
    );
  }

  /** Whether an example matches the search and the range of scores. */
  function passes(state, index) {
    if (state.found && !state.found.has(index)) return false;
    if (state.low === 0 && state.high === 1) return true;
    const p = state.first?.p[index];
    return Boolean(p) && mean(p) >= state.low && mean(p) <= state.high;
  }

  /** Indices of the examples that match the filter, the search and the range, in the chosen order. */
  function listed(state) {
    const indices = [];
    for (let index = 0; index < state.split.examples; index++) {
      if (passes(state, index) && state.filter.test(standingOf(state, index))) indices.push(index);
    }
    if (!state.order.value) return indices;
    const values = new Map(
      indices.map((index) => [
        index,
        state.order.value({ ...standingOf(state, index), spread: state.order.id === "seeds" ? spreadOf(state, index) : 0 }),
      ]),
    );
    return indices.sort((one, other) => values.get(one) - values.get(other) || one - other);
  }

  /** The examples that contain all terms of the search; null without a search. */
  async function matching(state, wanted, report = true) {
    if (state.terms.length === 0) return null;
    const found = new Set();
    for (let shard = 0; shard < state.split.shards.length && wanted(); shard++) {
      if (report) at("status").textContent = `Searching, part ${shard + 1} of ${state.split.shards.length} …`;
      for (const [index, prompt, best, worse] of await load(state, shard)) {
        const texts = await Promise.all([prompt, best, ...worse].map((text) => cards.whole(state, text)));
        const all = texts.join("\n").toLowerCase();
        if (state.terms.every((term) => all.includes(term))) found.add(index);
      }
    }
    return found;
  }

  /** Search the last split of all distributions, and list those with matching examples. */
  async function searchAll(mine) {
    const query = new URLSearchParams(location.hash.slice(1)).get("q") ?? "";
    const field = at("search-all");
    if (document.activeElement !== field) field.value = query;
    const terms = genies.terms(query);
    at("hits").replaceChildren();
    at("hits-status").textContent = "";
    if (terms.length === 0) return;
    let count = 0;
    for (const [place, distribution] of distributions.entries()) {
      at("hits-status").textContent = `Searching distribution ${place + 1} of ${distributions.length} …`;
      const split = distribution.splits.at(-1);
      const found = await matching({ distribution, split, terms }, () => mine === turn, false);
      if (mine !== turn) return;
      if (found.size === 0) continue;
      count += found.size;
      const link = showName(make("a"), distribution.name);
      link.href = "#" + new URLSearchParams({ d: distribution.name, s: split.name, q: query }).toString();
      at("hits").append(make("li", "", link, ` ${number.format(found.size)}`));
    }
    at("hits-status").textContent = `${number.format(count)} example${count === 1 ? "" : "s"} found`;
  }

  function load(state, shard) {
    return genies.load(`samples/${state.distribution.file}/${state.split.name}-${shard}`);
  }

  function place(state, indices) {
    const pages = Math.max(1, Math.ceil(indices.length / A_PAGE));
    const position = state.example === null ? -1 : indices.indexOf(state.example);
    const page = position >= 0 ? Math.floor(position / A_PAGE) + 1 : Math.min(state.page, pages);
    return { page, pages, indices: indices.slice((page - 1) * A_PAGE, page * A_PAGE) };
  }

  async function textsOf(state, indices) {
    const shardOf = (index) => state.split.shards.findLastIndex((first) => first <= index);
    const shards = await Promise.all([...new Set(indices.map(shardOf))].map((shard) => load(state, shard)));
    return new Map(shards.flat().map((example) => [example[0], example]));
  }

  function draw(state, all, shown, texts) {
    const from = (shown.page - 1) * A_PAGE;
    at("status").textContent = all.length
      ? `${number.format(from + 1)}–${number.format(from + shown.indices.length)} of ${number.format(all.length)} examples`
      : "";
    at("empty").hidden = all.length > 0;
    at("samples").replaceChildren(...shown.indices.map((index) => cards.card(state, texts.get(index), standingOf(state, index))));
    for (const pager of document.querySelectorAll(".pager")) fillPager(pager, shown);
    for (const text of document.querySelectorAll(".text.clamped")) cards.fold(text);
    if (state.example !== null) {
      const target = at("sample-" + state.example);
      if (target) {
        target.classList.add("meant");
        target.focus({ preventScroll: true });
        target.scrollIntoView({ block: "start" });
      }
    }
  }

  function fillPager(pager, shown) {
    pager.hidden = shown.pages < 2;
    const link = (page, title, label) => {
      if (page < 1 || page > shown.pages) return make("span", "page off", title);
      const element = make("a", "page", title);
      element.href = address({ p: page === 1 ? null : page });
      if (label) element.setAttribute("aria-label", label);
      if (page === shown.page && !label) element.setAttribute("aria-current", "page");
      return element;
    };
    const near = [...new Set([1, shown.page - 1, shown.page, shown.page + 1, shown.pages])];
    const pages = near.filter((page) => page >= 1 && page <= shown.pages);
    const items = [link(shown.page - 1, "←", "previous page")];
    pages.forEach((page, position) => {
      if (position > 0 && page - pages[position - 1] > 1) items.push(make("span", "page off", "…"));
      items.push(link(page, String(page)));
    });
    items.push(link(shown.page + 1, "→", "next page"));
    pager.replaceChildren(...items);
  }

  function go(changes) {
    location.hash = address(changes);
  }

  at("distribution").addEventListener("change", (event) => {
    location.hash = "#" + new URLSearchParams({ d: event.target.value }).toString();
  });
  at("split").addEventListener("change", (event) => go({ s: event.target.value }));
  at("first").addEventListener("change", (event) => go({ a: event.target.value }));
  at("second").addEventListener("change", (event) => go({ b: event.target.value }));
  at("order").addEventListener("change", (event) => go({ o: event.target.value === "index" ? null : event.target.value }));
  at("seeds").addEventListener("change", (event) => go({ e: event.target.checked ? 1 : null }));
  for (const [id, name] of [["low", "l"], ["high", "h"]]) {
    at(id).addEventListener("change", (event) => go({ [name]: event.target.value || null }));
  }
  at("reset").addEventListener("click", () => go({ f: null, q: null, l: null, h: null }));
  // On a narrow page the filters are folded.
  at("more-filters").open = matchMedia("(min-width: 46.01rem)").matches;
  at("search-form").hidden = distributions.length < 2;
  const searchAllNow = () => (location.hash = new URLSearchParams({ q: at("search-all").value }).toString());
  at("search-all-button").addEventListener("click", searchAllNow);
  at("search-all").addEventListener("keydown", (event) => {
    if (event.key === "Enter") searchAllNow();
  });
  let pause = 0;
  at("search").addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      history.replaceState(null, "", address({ q: event.target.value }));
      view();
    }, 200);
  });
  /** Focus the next or previous sample; at the end of a page, go to the next page. */
  function step(by) {
    const items = [...at("samples").children];
    const now = items.indexOf(document.activeElement?.closest(".sample"));
    const next = now < 0 ? (by > 0 ? 0 : -1) : now + by;
    const item = items[next];
    if (item) {
      item.focus({ preventScroll: true });
      item.scrollIntoView({ block: "start" });
      return;
    }
    const label = by > 0 ? "next page" : "previous page";
    document.querySelector(`.pager a[aria-label="${label}"]`)?.click();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || browser.hidden) return;
    if (event.target.closest("input, select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      at("search").focus();
    }
    if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
    const label = { n: "next page", p: "previous page" }[event.key];
    if (label) document.querySelector(`.pager a[aria-label="${label}"]`)?.click();
  });
  window.addEventListener("hashchange", () => {
    const before = turn;
    view().then(() => {
      if (before + 1 === turn && read().example === null && !at("search").matches(":focus")) window.scrollTo(0, 0);
    });
  });
  view();
})();
