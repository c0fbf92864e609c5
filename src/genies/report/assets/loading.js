// Data files are scripts that call genies.add(key, value), because pages opened from disk cannot load other files.
"use strict";
const genies = (function () {
  const values = new Map();
  const waiting = new Map();

  function add(key, value) {
    values.set(key, value);
  }

  /** The value of data/<key>.js, loaded once. */
  function load(key) {
    if (!waiting.has(key)) {
      waiting.set(
        key,
        new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = "data/" + key + ".js";
          script.onload = () => {
            script.remove();
            if (values.has(key)) resolve(values.get(key));
            else reject(new Error(script.src + " contains no data; make the report again"));
          };
          script.onerror = () => {
            waiting.delete(key);
            reject(new Error(script.src + " cannot be loaded; is the report complete?"));
          };
          document.head.append(script);
        }),
      );
    }
    return waiting.get(key);
  }

  /** The JSON in a script element of the page. */
  function embedded(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  // Control characters, invisible ones and those that change the direction of text, as in embedding.py.
  const UNSEEN = "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]";

  function escaped(text) {
    return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  }

  /** Append text to an element, never as markup. Invisible characters are written out, and the terms of a search marked. */
  function show(element, text, terms = []) {
    const marked = terms.map(escaped).join("|");
    const pattern = new RegExp("(" + UNSEEN + ")" + (marked ? "|(" + marked + ")" : ""), "giu");
    let from = 0;
    for (const found of text.matchAll(pattern)) {
      element.append(text.slice(from, found.index));
      const piece = document.createElement(found[1] ? "span" : "mark");
      if (found[1]) {
        piece.className = "unseen-character";
        piece.textContent = "U+" + found[1].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
        piece.title = "invisible character";
      } else {
        piece.textContent = found[0];
      }
      element.append(piece);
      from = found.index + found[0].length;
    }
    element.append(text.slice(from));
    return element;
  }

  /** show() for a name, with possible line breaks after underscores. */
  function showName(element, name) {
    name.split(/(?<=_)/).forEach((part, place) => {
      if (place > 0) element.append(document.createElement("wbr"));
      show(element, part);
    });
    return element;
  }

  /** An element with a class and children; strings become text. */
  function make(tag, kind, ...children) {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...children);
    return element;
  }

  /** The result of an example: wrong if any pair is wrong, right if all are right, otherwise a tie. */
  function standing(probabilities) {
    if (!probabilities) return "none";
    if (probabilities.some((p) => p < 0.5)) return "wrong";
    return probabilities.every((p) => p > 0.5) ? "right" : "tie";
  }

  /** The number of right pairs of an example, in the mean over evaluations; a tie counts half. */
  function rightPairs(evaluations, index) {
    const right = (p) => (p > 0.5 ? 1 : p === 0.5 ? 0.5 : 0);
    const sums = evaluations.map((each) => each.p[index].reduce((sum, p) => sum + right(p), 0));
    return sums.reduce((sum, each) => sum + each, 0) / sums.length;
  }

  /** The terms of a search: words, and phrases in double quotes; a text must contain all of them. */
  function terms(query) {
    return [...query.matchAll(/"([^"]+)"?|([^\s"]+)/gu)].map((found) => (found[1] ?? found[2]).toLowerCase().trim()).filter(Boolean);
  }

  /** Put text into the clipboard, also where pages have no access to it but by a selection. */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  return { add, copy, terms, load, embedded, show, showName, make, standing, rightPairs };
})();
