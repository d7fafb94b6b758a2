/** The eraser's card in ApplyErasedLoRA with warnings about the wired model, and what SaveErasedLoRA wrote. */
import { ask, executionId, lastOutput, widgetOf } from "../lib/comfy.js";
import { h, settled } from "../lib/dom.js";
import { mount } from "../lib/mount.js";
import { cardElement } from "./card.js";

const WIRED = "(the wired LoRA)";
const views = new Set();

/** Gives an apply node the card of the chosen file. */
export function addApplyCard(node) {
  const view = new ApplyView(node);
  views.add(view);
  const { onExecuted, onRemoved } = node, choice = widgetOf(node, "lora_name"), changed = choice?.callback;
  node.onExecuted = function (output) {
    onExecuted?.call(this, output);
    if (output?.text) view.ran(output.text.join("\n"));
  };
  node.onRemoved = function (...args) {
    views.delete(view);
    return onRemoved?.apply(this, args);
  };
  if (choice)
    choice.callback = function (...args) {
      const result = changed?.apply(this, args);
      view.choose();
      return result;
    };
  setTimeout(async () => {
    view.choose();
    const output = await lastOutput(node);
    if (output?.text) view.ran(output.text.join("\n"));
  }, 80);
}

/** Shows why a node could not use an eraser, in the node itself. */
export function onExecutionError(detail) {
  for (const view of views) if (executionId(view.node) === String(detail.node_id)) view.failed(detail.exception_message);
}

class ApplyView {
  constructor(node) {
    this.node = node;
    this.warnings = h("div", { class: "ce-warnings", role: "alert" });
    this.body = h("div", { class: "ce-scroll ce-card-body" });
    mount(node, h("section", { class: "ce-eraser", "aria-label": "Eraser" }, this.warnings, this.body), { minHeight: 200, minWidth: 340 });
    this.choose = settled(() => this.#choose(), 60);
    this.#say("Choose an eraser, or wire one in.");
  }

  async #choose() {
    const name = widgetOf(this.node, "lora_name")?.value ?? WIRED;
    if (name !== this.name) this.#warn([]);
    this.name = name;
    if (name === WIRED) return this.lines || this.#say("Uses the LoRA that is wired in; what it says of itself shows here after a run.");
    this.lines = null;
    const card = await ask("eraser", { name });
    if (name !== this.name) return;
    card ? this.body.replaceChildren(cardElement(card)) : this.#say("This file is not in the loras folder.");
  }

  /** @param {string} text the card as the server wrote it, warnings last */
  ran(text) {
    const lines = text.split("\n"), warns = (l) => l.startsWith("Warning: ");
    this.#warn(lines.filter(warns).map((l) => l.slice(9)));
    if ((widgetOf(this.node, "lora_name")?.value ?? WIRED) !== WIRED) return;
    this.lines = lines.filter((l) => !warns(l));
    this.body.replaceChildren(...this.lines.map((line) => {
      const [, name, value] = line.match(/^([A-Z][a-z ]{1,12}): (.*)$/) ?? [];
      return name ? h("div", { class: "ce-fact" }, h("b", { text: name }), h("span", { text: value })) : h("p", { text: line });
    }));
  }

  failed(message) {
    this.#warn([String(message ?? "It could not be used.").trim().slice(0, 600)]);
  }

  #warn(texts) {
    this.warnings.replaceChildren(...texts.map((t) => h("p", { text: t.charAt(0).toUpperCase() + t.slice(1) })));
    this.warnings.hidden = texts.length === 0;
  }

  #say(text) {
    this.body.replaceChildren(h("p", { class: "ce-muted", text }));
  }
}

/** Gives a save node a line that says what it wrote. */
export function addSaveNote(node) {
  const line = h("p", { class: "ce-muted", role: "status", text: "Not saved yet" });
  mount(node, h("section", { class: "ce-saved", "aria-label": "Saved file" }, line), { minHeight: 22, maxHeight: 40 });
  const executed = node.onExecuted;
  const show = (output) => {
    if (!output?.text) return;
    line.textContent = output.text.join(" ");
    line.className = "ce-green";
  };
  node.onExecuted = function (output) {
    executed?.call(this, output);
    show(output);
  };
  setTimeout(async () => show(await lastOutput(node)), 80);
}
