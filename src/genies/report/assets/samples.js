// The sample browser. The address after # determines the view, so that every view has a link:
// d distribution, s split, f filter, a and b evaluations, q search, p page, i example.
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
      title: "Right only in the first",
      test: (x) => standing(x.a) === "right" && standing(x.b) === "wrong",
      needs: "b",
    },
    {
      id: "lost",
      title: "Right only in the second",
      test: (x) => standing(x.a) === "wrong" && standing(x.b) === "right",
      needs: "b",
    },
    { id: "leaked", title: "Leaked", test: (x) => x.leaks.length > 0, needs: "leaks" },
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
      page: Math.max(1, Number.parseInt(given.get("p") ?? "1", 10) || 1),
      example: given.has("i") ? Number.parseInt(given.get("i"), 10) : null,
    };
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
      return;
    }
    at("list").hidden = true;
    browser.hidden = false;
    document.title = state.distribution.name + " · samples · GENIES";
    try {
      const scored = state.distribution.scores && state.split.name === "test";
      state.scores = scored ? await genies.load("scores/" + state.distribution.file) : { evaluations: [], leaks: [] };
      if (mine !== turn) return;
      choose(state);
      controls(state);
      const examples = await listed(state, () => mine === turn);
      if (mine !== turn) return;
      const shown = place(state, examples);
      const texts = await textsOf(state, shown.indices);
      if (mine !== turn) return;
      draw(state, examples, shown, texts);
    } catch (error) {
      at("status").textContent = error.message;
    }
  }

  /** Select the evaluations in the address, or else the first two interventions. */
  function choose(state) {
    const all = state.scores.evaluations;
    state.first = all.find((each) => each.key === state.a) ?? all[0];
    state.second =
      all.find((each) => each.key === state.b && each !== state.first) ??
      all.find((each) => each.intervention !== state.first?.intervention) ??
      all.find((each) => each !== state.first);
    state.leaks = new Map();
    for (const [where, indices] of state.scores.leaks) {
      for (const index of indices) state.leaks.set(index, [...(state.leaks.get(index) ?? []), where]);
    }
    if (!offered(state, state.filter)) state.filter = FILTERS[0];
  }

  function offered(state, filter) {
    if (filter.needs === "a") return Boolean(state.first);
    if (filter.needs === "b") return Boolean(state.second);
    if (filter.needs === "leaks") return state.leaks.size > 0 || state.distribution.leaked !== null;
    return true;
  }

  function standingOf(state, index) {
    return {
      a: state.first?.p[index] || null,
      b: state.second?.p[index] || null,
      leaks: state.leaks.get(index) ?? [],
    };
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
    if (state.first) options(at("first"), evaluations.map((each) => [each.key, cards.nameOf(state, each)]), state.first.key);
    if (state.second) options(at("second"), evaluations.map((each) => [each.key, cards.nameOf(state, each)]), state.second.key);
    if (document.activeElement !== at("search")) at("search").value = state.query;
    const counts = new Map(FILTERS.map((each) => [each.id, 0]));
    for (let index = 0; index < split.examples; index++) {
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
    at("legend").hidden = evaluations.length === 0;
    at("about").hidden = distribution.about.length === 0;
    at("about-facts").replaceChildren(
      ...distribution.about.flatMap(([name, words]) => [show(make("dt"), name), show(make("dd"), words)]),
    );
    at("title").replaceChildren(showName(make("span"), distribution.name));
  }

  /** Indices of the examples that match the filter and the search. */
  async function listed(state, wanted) {
    const indices = [];
    for (let index = 0; index < state.split.examples; index++) {
      if (state.filter.test(standingOf(state, index))) indices.push(index);
    }
    if (!state.query) return indices;
    const query = state.query.toLowerCase();
    const found = new Set();
    for (let shard = 0; shard < state.split.shards.length && wanted(); shard++) {
      at("status").textContent = `Searching, part ${shard + 1} of ${state.split.shards.length} …`;
      for (const [index, prompt, best, worse] of await load(state, shard)) {
        for (const text of [prompt, best, ...worse]) {
          if ((await cards.whole(state, text)).toLowerCase().includes(query)) found.add(index);
        }
      }
    }
    return indices.filter((index) => found.has(index));
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
  at("reset").addEventListener("click", () => go({ f: null, q: null }));
  let pause = 0;
  at("search").addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      history.replaceState(null, "", address({ q: event.target.value }));
      view();
    }, 200);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || browser.hidden) return;
    if (event.target.closest("input, select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      at("search").focus();
    }
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
