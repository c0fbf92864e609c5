// One sample in the browser: an example and its evaluations.
"use strict";
genies.cards = (function () {
  const { make, show, standing } = genies;
  const number = new Intl.NumberFormat("en");

  /** The name of an evaluation in a list. */
  function nameOf(state, each) {
    const tuned = each.source === null ? "untuned" : "tuned on " + each.source;
    const seeds = each.members.length > 1 ? `, mean of ${each.members.length} seeds` : each.seed === null ? "" : ", seed " + each.seed;
    return each.intervention + ", " + tuned + seeds + modelOf(state, each);
  }

  /** The base model, if there are several. */
  function modelOf(state, each) {
    return state.scores.models > 1 ? ", " + each.model : "";
  }

  /** The complete text, including the part that is too long for the shard. */
  async function whole(state, text) {
    if (text.turns) return (await Promise.all(text.turns.map((turn) => whole(state, turn[1])))).join("\n\n");
    if (typeof text === "string") return text;
    return text[0] + (await genies.load(`samples/${state.distribution.file}/long-${text[2]}`));
  }

  /** The address of one sample in the current view. */
  function linkOf(index) {
    const given = new URLSearchParams(location.hash.slice(1));
    given.delete("p");
    given.set("i", index);
    return "#" + given.toString();
  }

  /** One example: prompt and responses side by side, and its probabilities in the evaluations. */
  function card(state, [index, prompt, best, worse], has) {
    const self = make("a", "number", "#" + index);
    self.href = linkOf(index);
    self.title = "link to this sample";
    const head = make("div", "sample-head", make("h2", "sample-title", self));
    const alike = state.first?.intervention === state.second?.intervention;
    const badge = (result, each) =>
      head.append(show(make("span", "verdict " + result), (alike ? nameOf(state, each) : each.intervention) + ": " + result));
    if (standing(has.a) !== "none") badge(standing(has.a), state.first);
    else if (state.first) head.append(make("span", "verdict quiet", "not evaluated"));
    if (standing(has.b) !== "none") badge(standing(has.b), state.second);
    for (const where of has.leaks) {
      const own = where === state.distribution.name;
      head.append(make("span", "verdict leaked", own ? "leaked: prompt in its train split" : "leaked: prompt in the train split of " + where));
    }
    head.append(tools(state, index, prompt, best, worse));
    const tokens = tokensOf(state, index);
    const responses = make("div", "responses", response(state, best, "best", "", tokens.map(([name, [own]]) => [name, own])));
    worse.forEach((text, position) => {
      const own = tokens.map(([name, found]) => [name, found[1][position]]);
      responses.append(response(state, text, worse.length > 1 ? "worse " + (position + 1) : "worse", "worse", own));
    });
    if (state.tokens?.examples.includes(index)) responses.append(...withoutTokens(state, tokens));
    const item = make(
      "li",
      "sample",
      head,
      make("div", "sides", make("div", "prompt", ...promptBlocks(state, prompt)), responses),
    );
    if (state.scores.evaluations.length) item.append(probabilities(state, index));
    item.id = "sample-" + index;
    item.tabIndex = -1;
    return item;
  }

  /** Buttons that copy the address of a sample, or the sample and its probabilities as JSON. */
  function tools(state, index, prompt, best, worse) {
    const button = (title, text) => {
      const element = make("button", "more", title);
      element.type = "button";
      element.addEventListener("click", async () => {
        await genies.copy(await text());
        element.textContent = "Copied";
        setTimeout(() => (element.textContent = title), 1400);
      });
      return element;
    };
    const sample = async () => ({
      distribution: state.distribution.name,
      split: state.split.name,
      index,
      prompt: prompt.turns
        ? await Promise.all(prompt.turns.map(async ([role, text]) => ({ role, content: await whole(state, text) })))
        : await whole(state, prompt),
      best: await whole(state, best),
      worse: await Promise.all(worse.map((text) => whole(state, text))),
      probabilities: Object.fromEntries(
        state.scores.evaluations.filter((each) => each.p[index]).map((each) => [each.key, each.p[index]]),
      ),
    });
    return make(
      "span",
      "sample-tools",
      button("Copy link", async () => location.href.split("#")[0] + linkOf(index)),
      button("Copy as JSON", async () => JSON.stringify(await sample(), null, 2)),
    );
  }

  /** The prompt as one text, or its turns. */
  function promptBlocks(state, prompt) {
    if (!prompt.turns) return [make("h3", "tag", "prompt"), textBlock(state, prompt)];
    return prompt.turns.flatMap(([role, text]) => [show(make("h3", "tag turn"), role), textBlock(state, text)]);
  }

  function response(state, text, label, kind, tokens) {
    const holder = make("div", "", textBlock(state, text));
    const item = make("div", "response " + (kind || "best"), make("h3", "tag", label), holder);
    const known = tokens.filter(([, own]) => own);
    if (known.length) item.append(tokenButtons(holder, known));
    return item;
  }

  /** The two evaluations with log-probabilities by token on an example: [[name, [best, [worse, ...]]], ...]. */
  function tokensOf(state, index) {
    if (state.split.name !== "test") return [];
    return [state.second, state.first].flatMap((each) => {
      const found = each?.members.map((seed) => state.tokens?.scores[seed.key]?.[index]).find(Boolean);
      return found ? [[each.intervention, found]] : [];
    });
  }

  /** Why one of the two evaluations has no log-probabilities by token. */
  function withoutTokens(state, tokens) {
    const named = tokens.map(([name]) => name);
    const without = [state.second, state.first].filter((each) => each && !named.includes(each.intervention));
    return without.map((each) => {
      const reason = each.members.map((seed) => state.tokens.none[seed.key]).find(Boolean) ?? "they were computed for the untuned model and the best intervention only";
      return show(make("p", "fine"), `${each.intervention} has no log-probabilities by token: ${reason}.`);
    });
  }

  /** Buttons that show a response's text with the log-probability of each token in an evaluation. */
  function tokenButtons(holder, known) {
    let plain = null;
    const box = make("div", "token-scores", make("span", "quiet", "log-probability by token:"));
    const buttons = known.map(([name, tokens]) => {
      const button = show(make("button", "more"), name);
      button.type = "button";
      button.ariaPressed = "false";
      button.addEventListener("click", () => {
        const on = button.ariaPressed !== "true";
        buttons.forEach((each) => (each.ariaPressed = String(on && each === button)));
        said.textContent = on ? summaryOf(tokens) : "";
        plain ??= [...holder.childNodes];
        holder.replaceChildren(...(on ? [tokenBlock(tokens)] : plain));
      });
      return button;
    });
    const said = make("span", "quiet");
    box.append(...buttons, said);
    return box;
  }

  function summaryOf(tokens) {
    const values = tokens.map(([, value]) => value).filter((value) => value !== null);
    const sum = values.reduce((total, value) => total + value, 0);
    return `mean ${(sum / values.length).toFixed(2)}, sum ${sum.toFixed(1)}, ${values.length} tokens; stronger colour: less probable`.replaceAll("-", "−");
  }

  /** Probabilities below which a token has a darker colour. */
  const IMPROBABLE = [0.5, 0.2, 0.05, 0.01, 0.001];

  function tokenBlock(tokens) {
    const block = make("div", "text");
    block.dir = "auto";
    for (const [text, value] of tokens) {
      const depth = value === null ? 0 : IMPROBABLE.filter((limit) => value < Math.log(limit)).length;
      const piece = make("span", "token" + (depth ? " s" + depth : ""));
      if (text === "") piece.append(make("span", "end", "·"));
      else show(piece, text);
      const words = text === "" ? "end of text or of turn, or further bytes of a character" : text;
      piece.title = `${JSON.stringify(words)}: ${value === null ? "no token before it" : value.toFixed(2).replace("-", "−")}`;
      block.append(piece);
    }
    return block;
  }

  function textBlock(state, text) {
    const block = make("div", "text clamped");
    block.dir = "auto";
    const beginning = typeof text === "string" ? text : text[0];
    if (beginning === "") block.append(make("span", "nothing", "(empty)"));
    show(block, beginning, state.terms);
    if (typeof text === "string") return block;
    const more = make("button", "more", `Show all ${number.format(text[1])} characters`);
    more.type = "button";
    more.addEventListener("click", async () => {
      const all = await whole(state, text);
      block.replaceChildren();
      block.classList.remove("clamped");
      show(block, all, state.terms);
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

  /** The probabilities of the best response in each evaluation, grouped by source; single seeds on demand. */
  function probabilities(state, index) {
    const groups = new Map();
    for (const each of state.choices) {
      if (!each.p[index]) continue;
      const title = (each.source === null ? "untuned" : "tuned on " + each.source) + modelOf(state, each);
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push(each);
    }
    const box = make("div", "probabilities");
    for (const [title, members] of groups) {
      const line = make("div", "group", show(make("span", "group-title"), title));
      for (const each of members) {
        line.append(chip(state, each, index));
        if (state.seeds && each.members.length > 1) line.append(...each.members.map((seed) => chip(state, seed, index)));
      }
      box.append(line);
    }
    if (groups.size === 0) box.append(make("span", "quiet", "No intervention was evaluated on this example."));
    return box;
  }

  function chip(state, each, index) {
    const seed = each.members.length > 1 ? ` (${each.members.length} seeds)` : each.seed === null || !state.seeds ? "" : " " + each.seed;
    const found = make("span", "score", show(make("span", "who"), each.intervention + seed));
    if (each === state.first) found.classList.add("first");
    if (each === state.second) found.classList.add("second");
    for (const p of each.p[index]) found.append(make("span", "p " + standing([p]), p.toFixed(2).replace(/^0/, "")));
    found.title = nameOf(state, each) + ": " + each.p[index].map((p) => p.toFixed(4)).join(", ");
    return found;
  }

  return { card, fold, nameOf, whole };
})();
