// One sample in the browser: an example and its evaluations.
"use strict";
genies.cards = (function () {
  const { make, show, standing } = genies;
  const number = new Intl.NumberFormat("en");

  /** The name of an evaluation in a list. */
  function nameOf(state, each) {
    const tuned = each.source === null ? "untuned" : "tuned on " + each.source;
    return each.intervention + ", " + tuned + (each.seed === null ? "" : ", seed " + each.seed) + modelOf(state, each);
  }

  /** The base model, if there are several. */
  function modelOf(state, each) {
    return state.scores.models > 1 ? ", " + each.model : "";
  }

  /** The complete text, including the part that is too long for the shard. */
  async function whole(state, text) {
    if (typeof text === "string") return text;
    return text[0] + (await genies.load(`samples/${state.distribution.file}/long-${text[2]}`));
  }

  /** One example: prompt and responses side by side, and its probabilities in the evaluations. */
  function card(state, [index, prompt, best, worse], has) {
    const self = make("a", "number", "#" + index);
    const given = new URLSearchParams(location.hash.slice(1));
    given.delete("p");
    given.set("i", index);
    self.href = "#" + given.toString();
    self.title = "link to this sample";
    const head = make("div", "sample-head", self);
    const result = standing(has.a);
    if (result !== "none") head.append(make("span", "verdict " + result, result));
    else if (state.first) head.append(make("span", "verdict quiet", "not evaluated"));
    if (state.second && standing(has.b) !== result && standing(has.b) !== "none") {
      head.append(make("span", "verdict quiet", standing(has.b) + " in the second"));
    }
    for (const where of has.leaks) {
      const own = where === state.distribution.name;
      head.append(make("span", "verdict leaked", own ? "leaked: prompt in its train split" : "leaked: prompt in the train split of " + where));
    }
    const responses = make("div", "responses", response(state, best, "best", ""));
    worse.forEach((text, position) => {
      responses.append(response(state, text, worse.length > 1 ? "worse " + (position + 1) : "worse", "worse"));
    });
    const item = make(
      "li",
      "sample",
      head,
      make("div", "sides", make("div", "prompt", make("h3", "tag", "prompt"), textBlock(state, prompt)), responses),
    );
    if (state.scores.evaluations.length) item.append(probabilities(state, index));
    item.id = "sample-" + index;
    item.tabIndex = -1;
    return item;
  }

  function response(state, text, label, kind) {
    return make("div", "response " + (kind || "best"), make("h3", "tag", label), textBlock(state, text));
  }

  function textBlock(state, text) {
    const block = make("div", "text clamped");
    block.dir = "auto";
    const beginning = typeof text === "string" ? text : text[0];
    if (beginning === "") block.append(make("span", "nothing", "(empty)"));
    show(block, beginning, state.query);
    if (typeof text === "string") return block;
    const more = make("button", "more", `Show all ${number.format(text[1])} characters`);
    more.type = "button";
    more.addEventListener("click", async () => {
      const all = await whole(state, text);
      block.replaceChildren();
      block.classList.remove("clamped");
      show(block, all, state.query);
      more.remove();
    });
    return make("div", "", block, more);
  }

  /** Show only the beginning of long texts, with a button for the rest. */
  function fold(block) {
    if (block.scrollHeight <= block.clientHeight + 4) {
      block.classList.remove("clamped");
      return;
    }
    if (block.nextElementSibling?.classList.contains("more")) return;
    block.classList.add("folded");
    const more = make("button", "more", "Show all of it");
    more.type = "button";
    more.addEventListener("click", () => {
      const folded = block.classList.toggle("folded");
      block.classList.toggle("clamped", folded);
      more.textContent = folded ? "Show all of it" : "Show less";
    });
    block.after(more);
  }

  /** The probabilities of the best response in each evaluation, grouped by source. */
  function probabilities(state, index) {
    const groups = new Map();
    for (const each of state.scores.evaluations) {
      if (!each.p[index]) continue;
      const title = (each.source === null ? "untuned" : "tuned on " + each.source) + modelOf(state, each);
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push(each);
    }
    const box = make("div", "probabilities");
    for (const [title, members] of groups) {
      const line = make("div", "group", show(make("span", "group-title"), title));
      for (const each of members) {
        const chip = make("span", "score", show(make("span", "who"), each.intervention + (each.seed === null ? "" : " " + each.seed)));
        if (each === state.first) chip.classList.add("first");
        if (each === state.second) chip.classList.add("second");
        for (const p of each.p[index]) chip.append(make("span", "p " + standing([p]), p.toFixed(2).replace(/^0/, "")));
        chip.title = nameOf(state, each) + ": " + each.p[index].map((p) => p.toFixed(4)).join(", ");
        line.append(chip);
      }
      box.append(line);
    }
    if (groups.size === 0) box.append(make("span", "quiet", "No intervention was evaluated on this example."));
    return box;
  }

  return { card, fold, nameOf, whole };
})();
