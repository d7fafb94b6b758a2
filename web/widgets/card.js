/** An eraser's card: thumbnail, what it erases and keeps, recipe, base model, scores, notes. All of it is text from a file: shown, never trusted. */
import { thumbnailUrl } from "../lib/comfy.js";
import { h, percent } from "../lib/dom.js";

/** @param {object} card as the server read it */
export function cardElement(card) {
  if (card.problem && !card.title && !card.damaged_card) return h("div", { class: "ce-card" }, h("p", { class: "ce-red", text: `Cannot be used: ${card.problem}.` }));
  return h("div", { class: "ce-card" }, picture(card),
    h("div", { class: "ce-card-text" },
      card.problem && h("p", { class: "ce-red", text: card.problem }),
      ...erases(card), ...fact("Keeps", card.protected?.slice(0, 10).join(", "), "What the search found and protected while this was trained"),
      ...fact("Recipe", [card.recipe, card.steps != null && `${card.steps} updates`, card.rank != null && `rank ${card.rank}`].filter(Boolean).join(", "), card.source),
      ...fact("Made for", [card.base, card.architecture && `(${card.architecture})`].filter(Boolean).join(" ")),
      ...scores(card.scores ?? []),
      ...fact("By", card.author), ...fact("License", card.license), ...fact("Notes", card.notes)));
}

function picture(card) {
  if (!card.thumbnail) return null;
  const image = h("img", { src: thumbnailUrl(card.name, card.modified), alt: "Before and after", loading: "lazy", draggable: "false" });
  const figure = h("figure", { class: "ce-card-picture" }, image, h("figcaption", {}, h("span", { text: "before" }), h("span", { text: "after" })));
  image.addEventListener("error", () => figure.remove());
  return figure;
}

function erases(card) {
  if (card.damaged_card) return [];
  if (!card.erases?.length) return [h("p", { class: "ce-muted", text: "An ordinary LoRA: it does not say that it erases anything." })];
  const chips = card.erases.map((c) => h("span", { class: "ce-chip", text: c.target ? `${c.name} → ${c.target}` : c.name }));
  return [h("div", { class: "ce-fact" }, h("b", { text: "Erases" }), h("span", { class: "ce-chips" }, ...chips))];
}

function fact(name, value, title = "") {
  return value ? [h("div", { class: "ce-fact", title }, h("b", { text: name }), h("span", { text: value }))] : [];
}

function scores(rows) {
  return rows.length ? [h("div", { class: "ce-fact" }, h("b", { text: "Scores" }), h("span", { class: "ce-scores" },
    ...rows.map((r) => h("span", { title: "Recognised in so many of the pictures, before and after" }, `${r.name}: ${percent(r.before)} → `, h("b", { class: r.erased ? "ce-red" : "ce-green", text: percent(r.after) })))))] : [];
}
