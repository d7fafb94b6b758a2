/** Curves of a training: the loss, and how much of the erased and of the kept concepts is left. */
import { axis, chart, colour, cursor, onTheme } from "../lib/chart.js";
import { figure, h, percent } from "../lib/dom.js";

export class Curves {
  constructor(box) {
    this.boxes = [h("div", { class: "ce-chart", role: "img" }), h("div", { class: "ce-chart", role: "img" })];
    this.heads = [h("div", { class: "ce-legend" }), h("div", { class: "ce-legend" })];
    box.append(...this.boxes.map((chartBox, i) => h("div", { class: "ce-plot" }, this.heads[i], chartBox)));
    this.points = [];
    this.stopTheme = onTheme(() => this.#draw());
    const placed = new ResizeObserver(() => box.isConnected && (placed.disconnect(), this.#draw())); // colours are known only in the page
    placed.observe(box);
  }

  remove() {
    this.stopTheme();
    this.plots?.forEach((p) => p.destroy());
  }

  /** @param {number[][]} points rows of step, loss, erased share, kept share */
  show(points) {
    this.points = points;
    if (!this.plots) return;
    const [left, right] = this.#data();
    this.plots[0].setData(left);
    this.plots[1].setData(right);
    this.#legend(points.length - 1);
  }

  #data() {
    const column = (i) => this.points.map((p) => p[i]);
    const steps = column(0);
    return [[steps, column(1), smooth(column(1))], [steps, smooth(column(2)), smooth(column(3))]];
  }

  #draw() {
    this.plots?.forEach((p) => p.destroy());
    const [a, b] = this.boxes, [left, right] = this.#data();
    const line = (name, more = {}) => ({ stroke: colour(a, name), width: 1.75, points: { show: false }, spanGaps: true, ...more });
    const common = (box) => ({
      legend: { show: false }, cursor: cursor({ y: false, points: { show: false } }), padding: [6, 4, 0, 0],
      hooks: { setCursor: [(u) => this.#legend(u.cursor.idx ?? this.points.length - 1)] },
    });
    const x = (box) => axis(box, { size: 16, space: 60 });
    this.plots = [
      chart(a, { ...common(a), scales: { x: { time: false }, y: { range: (u, low, high) => [0, (high || 1) * 1.05] } },
        axes: [x(a), axis(a, { size: 34, space: 26, values: (u, ticks) => ticks.map(figure) })], series: [{}, line("blue", { width: 1, alpha: 0.3 }), line("blue")] }, left),
      chart(b, { ...common(b), scales: { x: { time: false }, y: { range: (u, low) => [Math.min(0, Math.max(-1, low ?? 0)), 1.05] } },
        axes: [x(b), axis(b, { size: 38, space: 26, values: (u, ticks) => ticks.map(percent) })], series: [{}, line("red"), line("green")] }, right),
    ];
    this.#legend(this.points.length - 1);
  }

  #legend(at) {
    const [left, right] = this.#data(), i = Math.min(at, this.points.length - 1);
    const entry = (name, label, value) => h("span", { class: `ce-key ce-${name}` }, `${label} `, h("b", { text: value }));
    this.heads[0].replaceChildren(entry("blue", "loss", figure(left[2][i])));
    this.heads[1].replaceChildren(entry("red", "erased", percent(right[1][i])), entry("green", "kept", percent(right[2][i])));
    this.boxes[0].setAttribute("aria-label", `Loss over the updates, now ${figure(left[2][i])}`);
    this.boxes[1].setAttribute("aria-label", `Erased ${percent(right[1][i])}, kept ${percent(right[2][i])}`);
  }
}

/** Running mean over about the last tenth, at most 25 values; gaps stay gaps. */
function smooth(values) {
  const weight = 2 / (1 + Math.max(1, Math.min(25, values.length / 10)));
  let mean = null;
  return values.map((v) => (v == null ? mean : (mean = mean == null ? v : mean + weight * (v - mean))));
}
