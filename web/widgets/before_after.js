/** Before and after: a slider over two pictures, side by side, or all columns; with chooser, zoom, keyboard, copy and save. */
import { lastOutput, pictureUrl } from "../lib/comfy.js";
import { button, h } from "../lib/dom.js";
import { mount } from "../lib/mount.js";
import { compose, copyImage, saveImage } from "./sheet.js";

const LETTERS = "abcdefgh";
const HELP = "Arrow left and right move the slider, up and down change the picture, + and - zoom, 0 resets, M changes the view";

/** Gives a comparison node its view. */
export function addBeforeAfter(node) {
  const view = new BeforeAfterView(node);
  const executed = node.onExecuted;
  node.onExecuted = function (output) {
    executed?.call(this, output);
    view.show(output);
  };
  setTimeout(async () => view.columns.length || view.show(await lastOutput(node)), 60);
}

class BeforeAfterView {
  constructor(node) {
    this.node = node;
    this.columns = []; // [{name, images: [ref]}]
    [this.at, this.mode, this.split, this.zoom, this.x, this.y] = [0, "slider", 50, 1, 0, 0];
    this.pair = [0, 1];
    mount(node, this.#build(), { minHeight: 330, minWidth: 420, pictures: true });
    this.#render();
  }

  /** @param {object|null} output the node's `ui`: a_images, b_images, ..., columns, labels, title */
  show(output) {
    if (!output?.a_images || !output.b_images) return;
    const batches = [...LETTERS].map((l) => output[`${l}_images`]).filter(Boolean);
    this.columns = batches.map((images, i) => ({ images, name: output.columns?.[i] ?? ["before", "after"][i] ?? String(i) }));
    this.labels = output.labels ?? [""];
    this.title = output.title?.[0] ?? "";
    this.at = Math.min(this.at, batches[0].length - 1);
    if (this.pair.some((i) => i >= batches.length) || batches.length === 2) this.pair = [0, 1];
    this.#render();
  }

  get label() {
    const each = this.columns[0].images.length / this.labels.length;
    const name = this.labels[Math.floor(this.at / each)] ?? "";
    return each > 1 && name ? `${name} (${(this.at % each) + 1} of ${each})` : name;
  }

  #shownColumns() {
    return this.mode === "all" ? this.columns : this.pair.map((i) => this.columns[i]);
  }

  #render() {
    const ready = this.columns.length > 0;
    this.empty.hidden = ready;
    this.stage.hidden = this.tools.hidden = this.bottom.hidden = !ready;
    if (!ready) return;
    const several = this.columns.length > 2;
    if (!several && this.mode === "all") this.mode = "side";
    for (const [mode, b] of Object.entries(this.modes)) b.setAttribute("aria-pressed", String(mode === this.mode));
    this.modes.all.hidden = this.left.hidden = this.right.hidden = !several;
    this.#fillSelects();
    this.#fillStage();
    this.#fillChooser();
    this.caption.textContent = this.label;
    this.caption.title = this.label;
    this.place();
  }

  #fillSelects() {
    for (const [side, select] of [this.left, this.right].entries()) {
      select.replaceChildren(...this.columns.map((c, i) => h("option", { value: i, text: c.name })));
      select.value = this.pair[side];
      select.hidden ||= this.mode === "all";
    }
  }

  #fillStage() {
    const key = `${this.mode} ${this.#shownColumns().map((c) => c.images[this.at].filename)}`;
    if (this.stage.dataset.key === key) return;
    this.stage.dataset.key = key;
    this.panes = this.#shownColumns().map((c) => h("div", { class: "ce-pane" },
      h("img", { src: pictureUrl(c.images[this.at]), alt: `${c.name}: ${this.label}`, draggable: "false", on: { error: (e) => e.target.classList.add("ce-gone") } }),
      h("span", { class: "ce-tag", text: c.name })));
    this.stage.className = `ce-stage ce-wheel ce-${this.mode}`;
    this.stage.replaceChildren(...this.panes, ...(this.mode === "slider" ? [this.handle] : []));
    const slider = this.mode === "slider";
    this.stage.setAttribute("role", slider ? "slider" : "group");
    for (const [name, value] of [["aria-valuemin", 0], ["aria-valuemax", 100]]) slider ? this.stage.setAttribute(name, value) : this.stage.removeAttribute(name);
  }

  #fillChooser() {
    const images = this.columns.at(-1).images;
    this.bottom.classList.toggle("ce-single", images.length < 2);
    const same = [...this.thumbs.children].map((t) => t.dataset.file).join() === images.map((i) => i.filename).join();
    if (!same) this.thumbs.replaceChildren(...images.map((image, i) => h("button", { type: "button", class: "ce-thumb", "data-file": image.filename, "aria-label": `Picture ${i + 1} of ${images.length}`,
      on: { click: () => this.choose(i) } }, h("img", { src: pictureUrl(image), alt: "", draggable: "false" }))));
    [...this.thumbs.children].forEach((t, i) => t.setAttribute("aria-pressed", String(i === this.at)));
  }

  /** Puts slider and zoom where they are now. */
  place() {
    const transform = `translate(${this.x}px, ${this.y}px) scale(${this.zoom})`;
    for (const pane of this.panes) pane.firstChild.style.transform = transform;
    if (this.mode === "slider") {
      this.panes[1].style.clipPath = `inset(0 0 0 ${this.split}%)`;
      this.handle.style.left = `${this.split}%`;
      this.stage.setAttribute("aria-valuenow", Math.round(this.split));
      this.stage.setAttribute("aria-valuetext", `${Math.round(this.split)} % ${this.columns[this.pair[0]].name}`);
    } else for (const name of ["aria-valuenow", "aria-valuetext"]) this.stage.removeAttribute(name);
  }

  choose(i) {
    const count = this.columns[0].images.length;
    this.at = (i + count) % count;
    this.#render();
    this.thumbs.children[this.at]?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }

  setMode(mode) {
    this.mode = mode;
    this.#render();
  }

  zoomBy(factor, centre = null) {
    const zoom = Math.min(16, Math.max(1, this.zoom * factor)), grown = zoom / this.zoom;
    const [cx, cy] = centre ?? [0, 0]; // from the middle of a pane
    [this.x, this.y] = zoom === 1 ? [0, 0] : [cx - (cx - this.x) * grown, cy - (cy - this.y) * grown];
    this.zoom = zoom;
    this.place();
  }

  /** Pointer position in the stage's own pixels, whatever the zoom of the graph. */
  #point(event) {
    const box = this.stage.getBoundingClientRect(), scale = box.width / this.stage.offsetWidth || 1;
    return [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
  }

  #onDown(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    const [px, py] = this.#point(event), width = this.stage.offsetWidth;
    const slides = this.mode === "slider" && (this.zoom === 1 || Math.abs(px - (width * this.split) / 100) < 20);
    const [x, y] = [this.x, this.y];
    const move = (e) => {
      const [mx, my] = this.#point(e);
      if (slides) this.split = Math.min(100, Math.max(0, (100 * mx) / width));
      else if (this.zoom > 1) [this.x, this.y] = [x + mx - px, y + my - py];
      this.place();
    };
    this.stage.setPointerCapture(event.pointerId);
    this.stage.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, () => this.stage.removeEventListener("pointermove", move), { once: true });
    move(event);
  }

  #onWheel(event) {
    event.preventDefault();
    const pane = (event.target.closest(".ce-pane") ?? this.stage).getBoundingClientRect();
    const scale = this.stage.getBoundingClientRect().width / this.stage.offsetWidth || 1;
    this.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, [(event.clientX - pane.left - pane.width / 2) / scale, (event.clientY - pane.top - pane.height / 2) / scale]);
  }

  #onKey(event) {
    const modes = Object.keys(this.modes).filter((m) => !this.modes[m].hidden);
    const slide = (by) => () => ((this.split = Math.min(100, Math.max(0, this.split + by))), this.place());
    const act = {
      ArrowLeft: slide(-2), ArrowRight: slide(2), Home: slide(-100), End: slide(100),
      ArrowUp: () => this.choose(this.at - 1), ArrowDown: () => this.choose(this.at + 1),
      "+": () => this.zoomBy(1.25), "=": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8), 0: () => this.zoomBy(0),
      m: () => this.setMode(modes[(modes.indexOf(this.mode) + 1) % modes.length]),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  async #export(how) {
    const columns = this.#shownColumns();
    const say = (text) => {
      this.note.textContent = text;
      setTimeout(() => (this.note.textContent = ""), 2500);
    };
    try {
      const sheet = await compose(columns.map((c) => ({ name: c.name, url: pictureUrl(c.images[this.at]) })), this.label, this.title);
      say(await how(sheet, `${this.title || this.label || "before and after"}.png`));
    } catch {
      say("That did not work here");
    }
  }

  #build() {
    const mode = (name, text, label) => button(text, label, () => this.setMode(name));
    this.modes = { slider: mode("slider", "Slider", "One picture over the other"), side: mode("side", "Side by side", "Two pictures beside each other"), all: mode("all", "All", "All columns beside each other") };
    const select = (side, label) => h("select", { class: "ce-select", "aria-label": label, on: { change: (e) => ((this.pair[side] = Number(e.target.value)), this.#render()) } });
    this.left = select(0, "Left column");
    this.right = select(1, "Right column");
    this.note = h("span", { class: "ce-muted", role: "status" });
    this.tools = h("div", { class: "ce-tools" }, h("div", { class: "ce-group" }, ...Object.values(this.modes)), this.left, this.right, this.note, h("span", { class: "ce-space" }),
      h("div", { class: "ce-group" }, button("−", "Zoom out", () => this.zoomBy(0.8)), button("+", "Zoom in", () => this.zoomBy(1.25))),
      button("Copy", "Copy this comparison as a picture", () => this.#export(copyImage)), button("Save", "Save this comparison as a picture", () => this.#export(saveImage)));
    this.handle = h("div", { class: "ce-handle", "aria-hidden": "true" }, h("span"));
    this.stage = h("div", { tabindex: "0", "data-capture-wheel": "true", "aria-label": `Before and after. ${HELP}`, title: "", on: {
      pointerdown: (e) => this.#onDown(e), wheel: (e) => this.#onWheel(e), keydown: (e) => this.#onKey(e), dblclick: () => this.zoomBy(0) } });
    this.thumbs = h("div", { class: "ce-thumbs ce-scroll", role: "group", "aria-label": "Pictures" });
    this.caption = h("div", { class: "ce-caption" });
    this.bottom = h("div", { class: "ce-bottom" }, this.caption, this.thumbs);
    this.empty = h("div", { class: "ce-hint", text: "Queue the graph to compare pictures here." });
    return h("section", { class: "ce-compare", "aria-label": "Before and after" }, this.tools, this.empty, this.stage, this.bottom);
  }
}
