/** The sensitivity spectrum: every concept with how much an edit changes it; search, compare two edits, protect by a click. */
import { lastOutput } from "../lib/comfy.js";
import { button, figure, h, percent, settled } from "../lib/dom.js";
import { isListed, sourceOf, toggle } from "../lib/lists.js";
import { dropProgressText, mount } from "../lib/mount.js";
import { SpectrumChart } from "./spectrum_chart.js";

const views = new Set();
const ROWS = 60;

/** Gives a probe node its spectrum. */
export function addSpectrum(node) {
  const view = new SpectrumView(node);
  views.add(view);
  const { onExecuted, onRemoved } = node;
  node.onExecuted = function (output) {
    onExecuted?.call(this, output);
    view.show(output?.spectrum?.[0]);
  };
  node.onRemoved = function (...args) {
    views.delete(view);
    view.chart.remove();
    return onRemoved?.apply(this, args);
  };
  setTimeout(async () => view.data || view.show((await lastOutput(node))?.spectrum?.[0]), 60);
}

/** `ui.spectrum` as rows, most harmed first. */
function rowsOf(found) {
  const erased = new Set(found.erased), neutral = new Set(Object.keys(found.neutral));
  const kind = (word) => (erased.has(word) ? "erased" : neutral.has(word) ? "neutral" : word in found.excluded ? "same" : "kept");
  return Object.entries(found.sensitivity).sort((a, b) => b[1] - a[1]).map(([word, value], rank) => ({ word, value, rank, kind: kind(word), why: found.excluded[word] ?? "" }));
}

export const named = (word) => word || "(empty prompt)";
const KINDS = { erased: "erased", neutral: "neutral prompt", kept: "" };

class SpectrumView {
  constructor(node) {
    this.node = node;
    this.data = null; // [{word, value, rank, kind, why}]
    this.query = "";
    this.other = null;
    this.selected = null;
    mount(node, this.#build(), { minHeight: 400, minWidth: 420, pictures: true });
    this.#render();
  }

  show(found) {
    if (!found?.sensitivity) return;
    dropProgressText(this.node);
    this.data = rowsOf(found);
    this.values = new Map(this.data.map((r) => [r.word, r.value]));
    this.erased = found.erased;
    this.selected = null;
    this.#render();
    for (const view of views) if (view.other === this) view.#render();
  }

  get space() {
    const found = sourceOf(this.node, "concept_space");
    return found?.comfyClass === "LoadConceptSpace" ? found : null;
  }

  #matches() {
    const q = this.query.trim().toLowerCase();
    return q ? this.data.filter((r) => r.word.toLowerCase().includes(q)) : [];
  }

  #render() {
    const ready = this.data !== null;
    this.empty.hidden = ready;
    this.tools.hidden = this.chartBox.hidden = this.keys.hidden = this.list.hidden = this.readout.hidden = !ready;
    if (!ready) return;
    this.#fillCompare();
    const other = this.other?.values ?? null;
    this.chart.show(this.data, other, new Set(this.#matches().map((r) => r.rank)));
    this.#fillKeys();
    this.#fillList();
    this.#point(this.selected ?? this.data.find((r) => r.kind === "kept") ?? this.data[0]);
  }

  #fillCompare() {
    const others = [...views].filter((v) => v !== this && v.data && v.node.graph);
    if (this.other && !others.includes(this.other)) this.other = null;
    const title = (v) => `${v.node.title || "Sensitivity Probe"} #${v.node.id}`;
    this.compare.replaceChildren(h("option", { value: "", text: "compare with…" }), ...others.map((v) => h("option", { value: v.node.id, text: title(v) })));
    this.compare.value = this.other?.node.id ?? "";
    this.compare.hidden = others.length === 0;
  }

  #fillKeys() {
    const key = (colour, text) => h("span", { class: `ce-key ce-${colour}`, text });
    this.keys.replaceChildren(key("blue", "■ concepts, most harmed first"), key("red", `★ erased${this.erased.length ? "" : " (unknown)"}`), key("green", "◆ neutral prompts"),
      ...(this.other ? [key("amber", `● ${this.other.node.title}`)] : []));
  }

  #fillList() {
    const matches = this.#matches(), searching = this.query.trim() !== "";
    const rows = (searching ? matches : this.data.filter((r) => r.kind === "kept")).slice(0, ROWS);
    const most = Math.max(1e-12, ...rows.flatMap((r) => [r.value, this.other?.values.get(r.word) ?? 0]));
    const none = h("li", { class: "ce-muted", text: "No such concept was measured." });
    this.list.replaceChildren(...(rows.length ? rows.map((r) => this.#row(r, most)) : [none]));
  }

  #row(r, most) {
    const bars = h("span", { class: "ce-bars", "aria-hidden": "true" });
    for (const [value, colour] of [[r.value, r.kind === "erased" || r.kind === "same" ? "red" : r.kind === "neutral" ? "green" : "blue"], [this.other?.values.get(r.word), "amber"]]) {
      if (value === undefined) continue;
      const bar = h("span", { class: `ce-bar ce-${colour}` }, h("span"));
      bar.firstChild.style.width = `${(100 * value) / most}%`;
      bars.append(bar);
    }
    const name = h("button", { type: "button", class: "ce-plain ce-word", title: r.why || KINDS[r.kind] || named(r.word), text: named(r.word), on: { click: () => this.#select(r) } });
    return h("li", { "data-word": r.word }, h("span", { class: "ce-step", text: String(r.rank + 1) }), name, bars, h("span", { class: "ce-value", text: figure(r.value) }), this.#protectButton(r));
  }

  #protectButton(r) {
    const space = this.space;
    if (r.kind !== "kept") return h("span", { class: "ce-muted ce-role", text: r.kind === "same" ? "same" : r.kind, title: r.why });
    const on = space !== null && isListed(space, "protect", r.word);
    const label = space ? `${on ? "No longer protect" : "Protect"} ${r.word} in Load Concept Space` : "Connect a Load Concept Space to protect words from here";
    return button(on ? "✓" : "+", label, () => this.#toggle(r), { class: "ce-button ce-small", disabled: space === null, "aria-pressed": String(on) });
  }

  #toggle(r) {
    if (r.kind !== "kept" || !this.space) return;
    const top = this.list.scrollTop;
    toggle(this.space, "protect", r.word);
    this.#fillList();
    this.#point(r);
    this.list.scrollTop = top;
  }

  #select(r) {
    this.selected = r;
    this.chart.pointAt(r.rank);
    this.#point(r);
  }

  /** Says what is under the pointer. */
  #point(r) {
    if (!r) return;
    const second = this.other?.values.get(r.word);
    const facts = [figure(r.value) + (second === undefined ? "" : ` against ${figure(second)}`), `more harmed than ${percent(1 - (r.rank + 1) / this.data.length)}`, r.why || KINDS[r.kind],
      r.kind === "kept" && this.space && isListed(this.space, "protect", r.word) && "protected"].filter(Boolean);
    this.readout.replaceChildren(h("b", { class: { erased: "ce-red", same: "ce-red", neutral: "ce-green" }[r.kind] ?? "ce-blue", text: named(r.word) }), h("span", { class: "ce-muted", text: ` ${facts.join(" · ")}` }));
  }

  #build() {
    this.search = h("input", { type: "search", class: "ce-input", placeholder: "Search concepts", "aria-label": "Search the measured concepts",
      on: { input: settled(() => ((this.query = this.search.value), this.#render()), 120), keydown: (e) => e.stopPropagation() } });
    this.compare = h("select", { class: "ce-select ce-wide", "aria-label": "Compare with another probe", on: {
      pointerdown: () => this.#fillCompare(),
      change: (e) => ((this.other = [...views].find((v) => String(v.node.id) === e.target.value) ?? null), this.#render()) } });
    this.tools = h("div", { class: "ce-tools" }, this.search, this.compare);
    this.chartBox = h("div", { class: "ce-chart ce-spectrum-chart", tabindex: "0", role: "img", "aria-label": "Sensitivity of all concepts; arrow keys move from word to word, Enter protects" });
    this.chart = new SpectrumChart(this.chartBox, { point: (r) => ((this.selected = r), this.#point(r)), choose: (r) => this.#toggle(r) });
    this.keys = h("div", { class: "ce-legend" });
    this.readout = h("div", { class: "ce-readout", role: "status" });
    this.list = h("ol", { class: "ce-rows ce-scroll", "aria-label": "Concepts, most harmed first" });
    this.empty = h("div", { class: "ce-hint", text: "Queue the graph to see which concepts the edit harms." });
    return h("section", { class: "ce-spectrum", "aria-label": "Sensitivity spectrum" }, this.tools, this.empty, this.keys, this.chartBox, this.readout, this.list);
  }
}
