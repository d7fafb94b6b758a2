/** The training panel: the erased concept fading, a kept one beside it, curves, what the search finds, stop and keep. */
import { ask, command, executionId, isThisWorkflow, pictureUrl } from "../lib/comfy.js";
import { button, clock, h, percent, settled } from "../lib/dom.js";
import { hideProgressText, mount } from "../lib/mount.js";
import { Curves } from "./curves.js";
import { Found } from "./found.js";

const RUNNING = ["preparing", "running", "stopping"];
const ENDS = { finished: "Finished", stopped: "Stopped; what was learned is kept", cancelled: "Cancelled", failed: "Failed" };
const panels = new Set();

/** Gives a training node its panel. */
export function addTraining(node) {
  const panel = new TrainingPanel(node);
  panels.add(panel);
  const removed = node.onRemoved;
  node.onRemoved = function (...args) {
    panel.remove();
    panels.delete(panel);
    return removed?.apply(this, args);
  };
  setTimeout(() => panel.reload(), 50);
}

/** A message from the server: hands it to the panels of that node. */
export function onTraining(message) {
  if (!isThisWorkflow(message.workflow)) return;
  for (const panel of panels) if (executionId(panel.node) === message.node) panel.update(message);
}

class TrainingPanel {
  constructor(node) {
    this.node = node;
    this.shown = null; // index of the frame being looked at; null follows the newest
    this.pinned = 0;
    this.reload = settled(() => this.#reload(), 60);
    this.element = this.#build();
    mount(node, this.element, { minHeight: 470, minWidth: 400, pictures: true });
    this.curves = new Curves(this.chartBox);
    this.show(null);
  }

  remove() {
    this.curves.remove();
  }

  async #reload() {
    const state = await ask(`training/${encodeURIComponent(executionId(this.node))}`);
    if (state?.run && isThisWorkflow(state.workflow)) this.show(state);
  }

  /** Changes since the last message; after a gap everything is asked for again. */
  update(message) {
    const state = this.state;
    if (!state || state.run !== message.run || message.sequence !== state.sequence + 1) {
      if (state && state.run === message.run && message.sequence <= state.sequence) return;
      if (message.run !== state?.run) [this.shown, this.pinned] = [null, 0];
      return this.reload();
    }
    const { points, frames, ...facts } = message;
    state.points.push(...points);
    state.frames.push(...frames);
    this.show(Object.assign(state, facts), { frames: frames.length > 0, found: Boolean(message.found) });
  }

  show(state, changed = { frames: true, found: true }) {
    this.state = state;
    hideProgressText(this.node);
    this.element.dataset.status = state?.status ?? "idle";
    this.#showStatus();
    if (changed.frames) this.#showFrames();
    if (changed.found) this.found.show(state);
    this.chartBox.hidden = !state?.points.length;
    this.found.element.hidden = this.tileBox.hidden = !state;
    this.empty.hidden = Boolean(state);
    this.curves.show(state?.points ?? []);
  }

  #showStatus() {
    const s = this.state, running = s && RUNNING.includes(s.status);
    this.line.textContent = describe(s);
    const share = !s ? 0 : s.status === "preparing" ? s.done / (s.total || 1) : s.step / (s.steps || 1);
    this.bar.max = 1;
    this.bar.value = Math.min(1, share);
    this.bar.hidden = !running;
    this.stop.hidden = !running;
    this.stop.disabled = s?.status !== "running";
  }

  #showFrames() {
    const frames = this.state?.frames ?? [];
    const name = this.state?.concepts?.[0]?.name ?? "";
    this.pinned = Math.min(this.pinned, Math.max(0, frames.length - 1));
    const at = this.shown == null || this.shown >= frames.length ? frames.length - 1 : this.shown;
    const pinned = frames[this.pinned], frame = frames[at];
    this.tiles.before.show(pinned?.erased, name, pinned ? moment(pinned) : "before");
    this.tiles.now.show(frame?.erased, name, frame ? moment(frame) : "now");
    this.tiles.kept.show(frame?.kept, frame?.word || "", frame?.word ? "kept" : "a kept concept", frame?.before);
    this.strip.hidden = frames.length < 2;
    this.#showStrip(frames, at);
  }

  #showStrip(frames, at) {
    const list = this.thumbs;
    if (list.dataset.run !== this.state?.run || list.children.length > frames.length) list.replaceChildren();
    list.dataset.run = this.state?.run ?? "";
    for (const [i, frame] of frames.entries()) {
      if (list.children[i]?.dataset.step === String(frame.step)) continue;
      const thumb = h("button", { type: "button", class: "ce-thumb", "data-step": frame.step, title: moment(frame), "aria-label": `Picture ${moment(frame)}`,
        on: { click: () => this.#look(i), dblclick: () => this.#pin(i) } }, h("img", { src: pictureUrl(frame.erased), alt: "", draggable: "false" }));
      list.children[i] ? list.children[i].replaceWith(thumb) : list.append(thumb);
    }
    for (const [i, thumb] of [...list.children].entries()) {
      thumb.setAttribute("aria-pressed", String(i === at));
      thumb.classList.toggle("ce-pinned", i === this.pinned);
      thumb.tabIndex = i === at ? 0 : -1;
    }
    if (this.shown == null) list.scrollLeft = list.scrollWidth;
  }

  #look(i) {
    const last = this.state.frames.length - 1;
    this.shown = i >= last ? null : Math.max(0, i);
    this.#showFrames();
  }

  #pin(i) {
    this.pinned = i;
    this.#showFrames();
  }

  #onKey(event) {
    const at = this.shown ?? this.state.frames.length - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: Infinity }[event.key];
    if (to !== undefined) this.#look(Math.max(0, to));
    else if (event.key === "p") this.#pin(at);
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.thumbs.children[Math.min(this.shown ?? Infinity, this.thumbs.children.length - 1)]?.focus();
  }

  async #stop() {
    this.stop.disabled = true;
    const answer = await command(`training/${encodeURIComponent(executionId(this.node))}/stop`);
    if (!answer?.stopping) this.reload();
  }

  #build() {
    this.line = h("div", { class: "ce-line", role: "status", "aria-live": "polite" });
    this.bar = h("progress", { class: "ce-progress", "aria-label": "Progress of the training" });
    this.stop = button("Stop and keep", "Stop training now and keep what has been learned", () => this.#stop());
    this.tiles = { before: new Tile("ce-tile"), now: new Tile("ce-tile"), kept: new Tile("ce-tile ce-kept") };
    this.tileBox = h("div", { class: "ce-tiles" }, ...Object.values(this.tiles).map((t) => t.element));
    this.empty = h("div", { class: "ce-hint", text: "Queue the graph. Here you will see the concept fade, a kept one beside it, and what the search finds." });
    this.thumbs = h("div", { class: "ce-thumbs ce-scroll", role: "group", "aria-label": "Earlier pictures; arrow keys move, P pins", on: { keydown: (e) => this.#onKey(e) } });
    const pin = button("Pin", "Show this picture at the left, to compare with", () => this.#pin(this.shown ?? this.state.frames.length - 1));
    this.strip = h("div", { class: "ce-strip" }, this.thumbs, pin);
    this.chartBox = h("div", { class: "ce-curves" });
    this.found = new Found();
    return h("section", { class: "ce-training", "aria-label": "Training" },
      h("div", { class: "ce-head" }, this.line, this.stop), this.bar,
      this.empty, this.tileBox, this.strip, this.chartBox, this.found.element);
  }
}

/** One picture with a caption; a second picture, if there is one, shows while the pointer or the focus is on it. */
class Tile {
  constructor(classes) {
    this.picture = h("img", { alt: "", draggable: "false" });
    this.name = h("b");
    this.when = h("span");
    this.frame = h("div", { class: "ce-picture" }, this.picture);
    this.element = h("figure", { class: classes }, this.frame, h("figcaption", {}, this.name, this.when));
    const swap = (to) => () => this.other && this.#set(to === "other" ? this.other : this.own, to === "other" ? "untouched model" : this.label);
    for (const [event, to] of [["pointerenter", "other"], ["focus", "other"], ["pointerleave", "own"], ["blur", "own"]]) this.frame.addEventListener(event, swap(to));
  }

  show(ref, name, label, other = null) {
    [this.own, this.label, this.title, this.other] = [ref, label, name, ref && other];
    this.frame.title = this.other ? "Point here to see it as the untouched model draws it" : "";
    this.other ? (this.frame.tabIndex = 0) : this.frame.removeAttribute("tabindex");
    this.#set(ref, label);
  }

  #set(ref, label) {
    this.name.textContent = this.title || "\u00a0";
    this.when.textContent = label;
    this.frame.classList.toggle("ce-empty", !ref);
    if (!ref) return this.picture.removeAttribute("src");
    const url = pictureUrl(ref);
    if (this.picture.getAttribute("src") !== url) this.picture.src = url;
    this.picture.alt = `${this.title}, ${label}`;
  }
}

const moment = (frame) => (frame.step ? `after ${frame.step} updates` : "before");

function describe(s) {
  if (!s) return "Not trained yet";
  if (s.status === "preparing") return s.stage ? `Preparing: ${s.stage} ${s.total ? percent(s.done / s.total) : ""}` : "Preparing";
  if (s.status === "running") return `Update ${s.step} of ${s.steps}${s.left == null ? "" : `, ${clock(s.left)} left`}`;
  if (s.status === "stopping") return "Stopping after this update";
  const end = ENDS[s.status] ?? s.status;
  return s.status === "failed" ? `${end}: ${s.message}` : `${end} after ${s.step} of ${s.steps} updates`;
}
