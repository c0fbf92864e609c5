// Compare two interventions. In the address, a and b are their names and s is a shift as source>target.
"use strict";
(function () {
  const { make, show, showName } = genies;
  const at = (id) => document.getElementById(id);
  const suites = genies.embedded("comparisons");
  const SVG = "http://www.w3.org/2000/svg";
  const FLIPS_SHOWN = 12;

  async function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const suite = suites.find((each) => each.name === given.get("u")) ?? suites[0];
    const data = await genies.load(suite.key);
    let first = Math.max(0, data.names.indexOf(given.get("a")));
    let second = data.names.indexOf(given.get("b"));
    if (!paired(data, first, second)) second = data.names.findIndex((_, index) => paired(data, first, index));
    const shift = data.shifts.findIndex((each) => each.source + ">" + each.target === given.get("s"));
    return { suite, data, first, second, shift };
  }

  function address({ suite, data, first, second, shift }) {
    const values = suites.length > 1 ? { u: suite.name } : {};
    Object.assign(values, { a: data.names[first], b: data.names[second] });
    if (shift >= 0) values.s = data.shifts[shift].source + ">" + data.shifts[shift].target;
    return "#" + new URLSearchParams(values).toString();
  }

  function paired(data, first, second) {
    return `${Math.min(first, second)}-${Math.max(first, second)}` in data.pairs;
  }

  /** The comparison of two entries; each is stored once, and turned for the other order. */
  function resultOf({ data, first, second }) {
    const stored = data.pairs[`${Math.min(first, second)}-${Math.max(first, second)}`];
    if (first < second) return stored;
    return { ...stored, rows: stored.rows.map(turned), mean: turned(stored.mean), better: stored.worse, worse: stored.better };
  }

  function turned(row) {
    if (!row) return row;
    const minus = (value) => (value === null ? null : 0 - value);
    const [value, low, high, direction, p, one, other, prompts] = row;
    const ends = [minus(value), minus(high), minus(low), { up: "down", down: "up" }[direction] ?? direction];
    return row.length > 4 ? [...ends, p, other, one, prompts] : ends;
  }

  const signed = (value) => (value < -0.0005 ? "−" : "+") + Math.abs(value).toFixed(3);
  const likelihood = (p) => (p < 0.001 ? "< 0.001" : p.toFixed(3));

  function draw(kind, attributes) {
    const element = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  function scale(result) {
    const ends = result.rows.filter(Boolean).concat(result.mean ? [result.mean] : []).flatMap((row) => row.slice(0, 3));
    const widest = Math.max(0.05, ...ends.map((value) => Math.abs(value ?? 0)));
    const reach = Math.ceil(widest * 10 - 1e-9) / 10;
    return { reach, place: (value) => 50 + (48 * value) / reach + "%" };
  }

  function track({ reach, place }, row) {
    const svg = draw("svg", { class: "track " + row[3], "aria-hidden": "true" });
    for (const value of [-reach, -reach / 2, reach / 2, reach]) {
      svg.append(draw("line", { class: "grid", x1: place(value), x2: place(value), y1: 0, y2: "100%" }));
    }
    svg.append(draw("line", { class: "zero", x1: "50%", x2: "50%", y1: 0, y2: "100%" }));
    if (row[1] !== null) {
      svg.append(draw("line", { class: "interval", x1: place(row[1]), x2: place(row[2]), y1: "50%", y2: "50%" }));
    }
    svg.append(draw("circle", { class: "dot", cx: place(row[0]), cy: "50%", r: 4.5 }));
    return svg;
  }

  function axis({ reach, place }) {
    const svg = draw("svg", { class: "track axis", "aria-hidden": "true" });
    for (const value of [-reach, -reach / 2, 0, reach / 2, reach]) {
      const text = draw("text", { x: place(value), y: 14 });
      text.textContent = value === 0 ? "0" : signed(value).replace(/0+$/, "");
      svg.append(text);
    }
    return svg;
  }

  function cell(text, kind = "number") {
    return make("td", kind, text);
  }

  function rowOf(state, index, row, measure) {
    const shift = state.data.shifts[index];
    const line = make("tr");
    const link = make("a");
    showName(link, shift.source).append(" → ");
    showName(link, shift.target);
    link.href = address({ ...state, shift: index });
    const head = make("th", "", link);
    head.scope = "row";
    line.append(head);
    if (!row) {
      const hole = cell("not both evaluated", "hole");
      hole.colSpan = 6;
      line.append(hole);
      return line;
    }
    const plot = make("td", "plot-cell", track(measure, row));
    const difference = cell(signed(row[0]));
    if (row[1] !== null) difference.append(make("span", "range", `${signed(row[1])} to ${signed(row[2])}`));
    line.append(plot, difference);
    const rest = row.length > 4 ? [likelihood(row[4]), row[5], row[6], row[7]] : ["", "", "", ""];
    const differs = row[3] === "up" || row[3] === "down";
    line.append(...rest.map((value, column) => cell(String(value), column === 0 && differs ? "number top" : "number")));
    if (index === state.shift) line.setAttribute("aria-current", "true");
    return line;
  }

  function meanRow(result, measure) {
    const line = make("tr", "mean");
    const head = make("th", "", `mean of ${result.shared} shifts`);
    head.scope = "row";
    const [mean, low, high] = result.mean;
    const difference = cell(signed(mean));
    if (low !== null) difference.append(make("span", "range", `${signed(low)} to ${signed(high)}`));
    line.append(head, make("td", "plot-cell", track(measure, result.mean)), difference);
    line.append(cell(result.p === null ? "" : likelihood(result.p)), cell(""), cell(""), cell(""));
    return line;
  }

  function verdict(state, result) {
    const [first, second] = [state.data.names[state.first], state.data.names[state.second]];
    const line = at("verdict");
    line.replaceChildren();
    if (result.mean === null) {
      line.append(result.shared ? "The two cannot be compared on average." : "The two have no shift in common.");
      return;
    }
    const bold = (text) => show(make("b"), text);
    const [mean, low, high, direction] = result.mean;
    const words = {
      up: " is significantly more accurate than ",
      down: " is significantly less accurate than ",
      level: " is not significantly different from ",
    };
    line.append("On average, ", bold(first), words[direction] ?? " was not tested against ", bold(second), ": ");
    line.append("the first minus the second is ", bold(signed(mean)));
    if (low !== null) line.append(` (95 % interval ${signed(low)} to ${signed(high)})`);
    if (result.p !== null) line.append(`, adjusted p ${result.p < 0.001 ? "" : "= "}${likelihood(result.p)}`);
    line.append(". ", show(make("span"), first));
    line.append(` is significantly better on ${result.better} of ${result.shared} shifts and significantly worse on ${result.worse}.`);
    if (result.leftOut) line.append(` ${result.leftOut} examples on which only one of the two was tested are excluded.`);
  }

  let turn = 0;

  async function flips(state) {
    const mine = ++turn;
    at("flips").ariaBusy = "true";
    await drawFlips(state, mine);
    if (mine === turn) at("flips").ariaBusy = "false";
  }

  async function drawFlips(state, mine) {
    at("flips").replaceChildren();
    const { names, shifts } = state.data;
    const shift = shifts[state.shift];
    at("flips-title").hidden = at("flips-note").hidden = !shift;
    if (!shift) return;
    at("flips-title").replaceChildren("Samples that differ: ", show(make("span"), shift.source + " → " + shift.target));
    const note = at("flips-note");
    const page = make("a", "", "page of this shift");
    page.href = shift.page;
    note.replaceChildren("Prompts on which one of the two has more pairs right, in the mean over its seeds. These are the prompts counted in the table; see also the ", page, ".");
    const keys = state.data.keys[state.shift];
    if (!shift.file) {
      note.replaceChildren("The samples of this shift’s target are not in this report.");
      return;
    }
    try {
      const scores = await genies.load("scores/" + shift.file);
      const find = (wanted) => scores.evaluations.filter((each) => wanted.includes(each.key));
      const [one, other] = [find(keys[state.first]), find(keys[state.second])];
      if (one.length === 0 || other.length === 0) {
        note.replaceChildren("The evaluations of this shift do not match the current samples.");
        return;
      }
      const { better, worse } = differing(scores, one, other);
      const lists = [
        [names[state.first], better, "gained"],
        [names[state.second], worse, "lost"],
      ];
      const groups = [one[0].group, other[0].group];
      const boxes = await Promise.all(lists.map((each) => flipList(shift, ...groups, ...each)));
      if (mine === turn) at("flips").replaceChildren(...boxes);
    } catch (error) {
      note.textContent = error.message;
    }
  }

  /** The first example of each prompt on which the seeds of one have more pairs right than those of the other. */
  function differing(scores, one, other) {
    const all = [...one, ...other];
    const differences = new Map();
    scores.prompts.forEach((prompt, index) => {
      if (all.some((each) => !each.p[index])) return;
      const known = differences.get(prompt) ?? { index, value: 0 };
      known.value += genies.rightPairs(one, index) - genies.rightPairs(other, index);
      differences.set(prompt, known);
    });
    const chosen = (sign) => [...differences.values()].filter((each) => sign * each.value > 1e-9).map((each) => each.index);
    return { better: chosen(1), worse: chosen(-1) };
  }

  /** Length of the common beginning of all prompts, up to a space. It is an instruction that does not distinguish them. */
  function sharedBeginning(texts) {
    const [first, ...others] = texts;
    let length = others.length === 0 ? 0 : first.length;
    for (const text of others) {
      let same = 0;
      while (same < length && text[same] === first[same]) same++;
      length = same;
    }
    return length === first.length ? 0 : first.lastIndexOf(" ", length) + 1;
  }

  async function flipList(shift, a, b, winner, indices, filter) {
    const box = make("div", "", make("h3", "", show(make("b"), winner), ` is better: ${indices.length} prompts`));
    const view = (more) => "samples.html#" + new URLSearchParams({ d: shift.target, s: "test", a, b, f: filter, ...more });
    if (indices.length === 0) {
      box.append(make("p", "quiet", "None."));
      return box;
    }
    const list = make("ol", "flips");
    const shardOf = (index) => shift.shards.findLastIndex((first) => first <= index);
    const shown = indices.slice(0, FLIPS_SHOWN);
    const shards = await Promise.all(
      [...new Set(shown.map(shardOf))].map((shard) => genies.load(`samples/${shift.file}/test-${shard}`)),
    );
    const beginning = (text) => (typeof text === "string" ? text : text[0]);
    const texts = new Map(shards.flat().map((example) => [example[0], beginning(example[1])]));
    const start = sharedBeginning([...texts.values()]);
    const end = sharedBeginning([...texts.values()].map((text) => [...text].reverse().join("")));
    for (const index of shown) {
      const link = make("a", "number", "#" + index);
      link.href = view({ i: index });
      const line = show(make("span", "words"), texts.get(index).slice(start, -end || undefined).trim().slice(0, 200));
      line.dir = "auto";
      list.append(make("li", "", link, line));
    }
    box.append(list);
    const all = make("a", "", "all of them in the sample browser");
    all.href = view({});
    box.append(make("p", "fine", all));
    return box;
  }

  function options(select, names, chosen) {
    select.replaceChildren(
      ...names.map((name, index) => {
        const option = make("option", "", name);
        option.value = index;
        option.selected = index === chosen;
        return option;
      }),
    );
  }

  async function view() {
    const state = await read();
    const { names } = state.data;
    const result = resultOf(state);
    const measure = scale(result);
    options(at("suite"), suites.map((each) => each.name), suites.indexOf(state.suite));
    options(at("first"), names, state.first);
    options(at("second"), names, state.second);
    [...at("second").options].forEach((option, index) => (option.disabled = !paired(state.data, state.first, index)));
    verdict(state, result);
    at("left-end").replaceChildren("← ", showName(make("span"), names[state.second]), " better");
    at("right-end").replaceChildren(showName(make("span"), names[state.first]), " better →");
    const rows = result.rows.map((row, index) => rowOf(state, index, row, measure));
    if (result.mean !== null && result.shared > 1) rows.push(meanRow(result, measure));
    at("rows").replaceChildren(...rows);
    at("axis").replaceChildren(axis(measure));
    at("comparison").ariaBusy = "false";
    await flips(state);
    return state;
  }

  async function choose(changes) {
    const before = await read();
    const state = { ...before, ...changes };
    // If the same entry is chosen on both sides, swap the two.
    if (state.first === state.second) {
      if ("first" in changes) state.second = before.first;
      else state.first = before.second;
    }
    location.hash = address(state);
  }

  at("comparison").ariaBusy = "true";
  at("comparison").hidden = false;
  at("suite").addEventListener("change", (event) => {
    location.hash = "#" + new URLSearchParams({ u: suites[Number(event.target.value)].name }).toString();
  });
  at("first").addEventListener("change", (event) => choose({ first: Number(event.target.value) }));
  at("second").addEventListener("change", (event) => choose({ second: Number(event.target.value) }));
  at("exchange").addEventListener("click", async () => {
    const { first, second } = await read();
    choose({ first: second, second: first });
  });
  window.addEventListener("hashchange", async () => {
    const state = await view();
    if (state.shift >= 0) at("flips-title").scrollIntoView({ block: "start" });
  });
  view();
})();
