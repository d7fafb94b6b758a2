/** The word lists in a LoadConceptSpace node's own widgets: what is always protected, what may suffer. */
import { setWidget, widgetOf } from "./comfy.js";

/** Lines of a list widget; commas separate too, as on the server. */
export const words = (node, list) => String(widgetOf(node, list)?.value ?? "").split(/[\n,]/).map((w) => w.trim()).filter(Boolean);

const same = (a, b) => a.toLowerCase() === b.toLowerCase();

export const isListed = (node, list, word) => words(node, list).some((w) => same(w, word));

/** Adds or removes a word; a word in one list leaves the other. */
export function toggle(node, list, word) {
  const other = list === "protect" ? "exclude" : "protect";
  const on = !isListed(node, list, word);
  const rest = words(node, list).filter((w) => !same(w, word));
  if (on && isListed(node, other, word)) setWidget(node, other, words(node, other).filter((w) => !same(w, word)).join("\n"));
  setWidget(node, list, (on ? [...rest, word] : rest).join("\n"));
  return on;
}

/** The node that feeds an input, through reroutes. */
export function sourceOf(node, input) {
  let at = node, slot = node.inputs?.findIndex((i) => i.name === input);
  for (let hops = 0; hops < 20 && at && slot >= 0; hops++) {
    at = at.getInputNode?.(slot);
    if (!at || !/reroute/i.test(at.type ?? "")) return at ?? null;
    slot = 0;
  }
  return null;
}
