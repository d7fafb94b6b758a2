/** The growing list of concepts that the search found most harmed, with how hard they are hit. */
import { figure, h } from "../lib/dom.js";

export class Found {
  constructor() {
    this.title = h("span", { text: "Most harmed, found and protected" });
    this.hint = h("span", { class: "ce-muted" });
    this.list = h("ol", { class: "ce-found-list ce-scroll", tabindex: "0", "aria-label": "Concepts found most harmed, newest first" });
    this.element = h("div", { class: "ce-found" }, h("div", { class: "ce-legend" }, this.title, this.hint), this.list);
  }

  /** @param {{found: object[], recipe: string, protected: string[]} | null} state */
  show(state) {
    const found = state?.found ?? [];
    const measured = found.some((f) => f.harm != null);
    const most = Math.max(1e-9, ...found.map((f) => (measured ? f.harm ?? 0 : f.times)));
    this.hint.textContent = !found.length ? "" : measured ? "harm" : "times chosen";
    this.hint.title = measured ? "How much its pictures have changed: 1 = as much as the word itself changes a picture" : "";
    const rows = found.map((f) => row(f, measured, most)).reverse();
    if (!rows.length) rows.push(h("li", { class: "ce-muted", text: state ? "The first search is still to come." : "The search will list the concepts it finds harmed most." }));
    this.list.replaceChildren(...rows);
  }
}

function row(f, measured, most) {
  const value = measured ? f.harm ?? 0 : f.times;
  const also = f.also?.length ? `Next: ${f.also.map(([word, harm]) => `${word} ${figure(harm)}`).join(", ")}` : "";
  const bar = h("span", { class: "ce-bar", "aria-hidden": "true" }, h("span"));
  bar.firstChild.style.width = `${(100 * value) / most}%`;
  return h("li", { title: also }, h("span", { class: "ce-step", text: String(f.step) }), h("span", { class: "ce-word", text: f.word }), bar,
    h("span", { class: "ce-value", text: measured ? figure(value) : `×${value}` }));
}
