/** The concept picker: search the vocabulary as you type, see the neighbours of the target, tick what to protect or to exclude. */
import { ask, executionId, widgetOf } from "../lib/comfy.js";
import { button, h, settled } from "../lib/dom.js";
import { isListed, toggle } from "../lib/lists.js";
import { dropProgressText, mount } from "../lib/mount.js";

/** Gives a vocabulary node its picker. */
export function addPicker(node) {
  const picker = new Picker(node);
  const executed = node.onExecuted;
  node.onExecuted = function (output) {
    executed?.call(this, output);
    dropProgressText(this);
    picker.search();
  };
  for (const name of ["vocabulary", "concept", "protect", "exclude"]) onChange(widgetOf(node, name), () => picker.search());
  setTimeout(() => picker.search(), 80);
}

function onChange(widget, act) {
  if (!widget) return;
  const callback = widget.callback;
  widget.callback = function (...args) {
    const result = callback?.apply(this, args);
    act();
    return result;
  };
}

class Picker {
  constructor(node) {
    this.node = node;
    this.asked = 0;
    this.search = settled(() => this.#search(), 140);
    mount(node, this.#build(), { minHeight: 250, minWidth: 340 });
  }

  async #search() {
    const number = ++this.asked, value = (name) => String(widgetOf(this.node, name)?.value ?? "");
    const found = await ask(`space/${encodeURIComponent(executionId(this.node))}`, { q: this.input.value, vocabulary: value("vocabulary"), concept: value("concept") });
    if (number !== this.asked) return; // an older question answered late
    this.found = found;
    this.concept = value("concept").trim();
    this.#render();
  }

  #render() {
    const f = this.found;
    this.head.textContent = !f ? "The server does not answer" : heading(f, this.concept, this.input.value.trim());
    this.size.textContent = f?.size ? `${f.size} concepts` : "";
    this.size.title = f?.encoded ? "Encoded by the last run" : "Not encoded yet: that happens when the graph runs";
    const top = this.list.scrollTop;
    this.list.replaceChildren(...(f?.words ?? []).map((w) => this.#row(w)));
    this.list.scrollTop = top;
    const notes = [f?.note, f?.left_out?.length && `Left out: ${f.left_out.map((w) => `${w.word} (${w.left_out})`).join(", ")}`].filter(Boolean);
    this.note.textContent = notes.join(" ");
    this.note.hidden = !notes.length;
  }

  #row({ word, left_out }) {
    const mine = left_out === "excluded by you", fixed = left_out && !mine;
    const [kept, free] = ["protect", "exclude"].map((list) => isListed(this.node, list, word));
    const tick = (list, on, text, label) => button(text, `${on ? "No longer " : ""}${label} ${word}`, () => (toggle(this.node, list, word), this.#render()),
      { class: `ce-button ce-small ce-tick-${list}`, "aria-pressed": String(on) });
    return h("li", { "data-word": word, class: kept ? "ce-is-kept" : free || fixed ? "ce-is-free" : "", title: left_out },
      h("span", { class: "ce-word", text: word }),
      ...(fixed ? [h("span", { class: "ce-muted ce-role", text: left_out })] : [tick("protect", kept, "protect", "protect"), tick("exclude", free, "exclude", "exclude")]));
  }

  #build() {
    this.input = h("input", { type: "search", class: "ce-input", placeholder: "Search the vocabulary", "aria-label": "Search the vocabulary", on: { input: () => this.search(), keydown: (e) => e.stopPropagation() } });
    this.head = h("span", { role: "status" });
    this.size = h("span", { class: "ce-muted" });
    this.list = h("ul", { class: "ce-rows ce-picks ce-scroll", "aria-label": "Concepts" });
    this.note = h("div", { class: "ce-note ce-scroll ce-muted" });
    return h("section", { class: "ce-picker", "aria-label": "Concept picker", on: { pointerenter: () => this.found && this.#render() } },
      h("div", { class: "ce-tools" }, this.input), h("div", { class: "ce-legend" }, this.head, this.size), this.list, this.note);
  }
}

function heading(f, concept, query) {
  if (f.kind === "matches") return f.total ? `${f.total} ${f.total === 1 ? "concept" : "concepts"} with '${query}'` : `Nothing with '${query}'`;
  return f.kind === "neighbours" ? `Nearest to '${concept}'` : "The vocabulary";
}
