/** The sidebar: example workflows to open, and the erasers on this machine with their cards. */
import { api, app, ask, packName, setWidget, widgetOf } from "../lib/comfy.js";
import { button, h, settled } from "../lib/dom.js";
import { cardElement } from "./card.js";

/** Registers the sidebar tab, where this frontend has sidebars. */
export function addSidebar() {
  app.extensionManager?.registerSidebarTab?.({
    id: "concept-erasure", icon: "pi pi-eraser", title: "Erasers", tooltip: "Concept erasers", type: "custom",
    render: (element) => void new Sidebar(element),
  });
}

class Sidebar {
  constructor(place) {
    this.query = "";
    this.examples = h("div", { class: "ce-examples" });
    this.search = h("input", { type: "search", class: "ce-input", placeholder: "Search erasers", "aria-label": "Search erasers",
      on: { input: settled(() => ((this.query = this.search.value.trim().toLowerCase()), this.#renderErasers()), 120), keydown: (e) => e.stopPropagation() } });
    this.list = h("ul", { class: "ce-erasers", "aria-label": "Erasers on this machine" });
    place.replaceChildren(h("section", { class: "ce ce-side-tab", "aria-label": "Concept erasure" },
      h("h2", { text: "Examples" }), this.examples,
      h("h2", {}, "Erasers on this machine", button("Refresh", "Read the folders again", () => this.#load())), this.search, this.list));
    this.#loadExamples();
    this.#load();
  }

  async #loadExamples() {
    let names = [];
    try {
      names = (await (await api.fetchApi("/workflow_templates")).json())[packName] ?? [];
    } catch {
      // shown as none
    }
    const items = names.sort().map((name) => {
      const picture = h("img", { src: address(name, "jpg"), alt: "", loading: "lazy", on: { error: (e) => e.target.classList.add("ce-gone") } });
      return h("button", { type: "button", class: "ce-example", on: { click: () => open(name) } }, picture, h("span", { text: readable(name) }));
    });
    this.examples.replaceChildren(...(items.length ? items : [h("p", { class: "ce-muted", text: "No example workflows are installed." })]));
  }

  async #load() {
    this.cards = (await ask("erasers"))?.erasers ?? null;
    this.#renderErasers();
  }

  #renderErasers() {
    const matches = (c) => [c.name, c.title, ...(c.erases ?? []).map((e) => e.name)].some((t) => t?.toLowerCase().includes(this.query));
    const cards = (this.cards ?? []).filter(matches);
    const none = !this.cards ? "The server does not answer." : this.query ? "No eraser matches." : "None yet. Train one, and save it with Save Erased LoRA.";
    this.list.replaceChildren(...(cards.length ? cards.map((c) => this.#item(c)) : [h("li", { class: "ce-muted", text: none })]));
  }

  #item(card) {
    const use = button("Add to graph", `Add an Apply Erased LoRA node with ${card.name}`, () => addNode(card.name));
    return h("li", {}, card.title && h("h3", { text: card.title }), cardElement(card),
      h("div", { class: "ce-file" }, h("span", { text: `${card.name}, ${card.megabytes} MB` }), use));
  }
}

const address = (name, ending) => api.apiURL(`/workflow_templates/${encodeURIComponent(packName)}/${encodeURIComponent(name)}.${ending}`);

/** "erase_an_object" as "Erase an object". */
const readable = (name) => name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());

async function open(name) {
  const answer = await fetch(address(name, "json"));
  if (answer.ok) await app.loadGraphData(await answer.json(), true, true, name);
}

/** Puts a node with this eraser into the middle of what is seen. */
function addNode(name) {
  const node = LiteGraph.createNode("ApplyErasedLoRA");
  const [x, y, width, height] = app.canvas.visible_area ?? [0, 0, 800, 600];
  node.pos = [x + width / 2 - 170, y + height / 3];
  app.graph.add(node);
  const choice = widgetOf(node, "lora_name"), options = choice?.options?.values;
  if (Array.isArray(options) && !options.includes(name)) options.push(name); // saved since the page was loaded
  setWidget(node, "lora_name", name);
  app.canvas.selectNode?.(node);
}
