/** The curve of all concepts sorted by sensitivity, with the erased ones, the neutral prompts and a second edit marked. */
import { axis, chart, colour, cursor, onTheme } from "../lib/chart.js";
import { figure } from "../lib/dom.js";

const MARKS = { erased: ["red", "star"], same: ["red", "dot"], neutral: ["green", "diamond"], other: ["amber", "dot"], match: ["fg", "ring"] };

export class SpectrumChart {
  /** @param {{point: function, choose: function}} on called with the row under the pointer, and the row chosen */
  constructor(box, on) {
    Object.assign(this, { box, on, rows: [], other: null, matches: new Set(), at: 0 });
    this.stopTheme = onTheme(() => this.#draw());
    this.size = new ResizeObserver(() => !this.plot && this.#draw());
    this.size.observe(box);
    box.addEventListener("keydown", (e) => this.#onKey(e));
    box.addEventListener("click", () => this.rows.length && this.on.choose(this.rows[this.at]));
  }

  remove() {
    this.stopTheme();
    this.size.disconnect();
    this.plot?.destroy();
  }

  /** @param {object[]} rows sorted; @param {Map|null} other word -> value of a second edit; @param {Set<number>} matches ranks to ring */
  show(rows, other, matches) {
    Object.assign(this, { rows, other, matches });
    this.at = Math.min(this.at, rows.length - 1);
    this.#draw();
  }

  pointAt(rank) {
    this.at = rank;
    const x = this.plot?.valToPos(rank, "x"), y = this.plot?.valToPos(this.#clip(this.rows[rank].value), "y");
    this.plot?.setCursor({ left: x, top: y }, false);
  }

  #clip(value) {
    return Math.max(value, this.floor);
  }

  #draw() {
    if (!this.rows.length || !this.box.isConnected || !this.box.clientWidth) return;
    this.plot?.destroy();
    const positive = this.rows.map((r) => r.value).filter((v) => v > 0);
    const top = Math.max(1e-9, ...positive, ...(this.other?.values() ?? []));
    this.floor = Math.max(Math.min(...positive, top) / 2, top * 1e-5);
    const column = (keep) => this.rows.map((r) => (keep(r) ? this.#clip(r.value) : null));
    const data = [this.rows.map((r) => r.rank), column(() => true), column((r) => r.kind === "same"), column((r) => r.kind === "neutral"), column((r) => r.kind === "erased"),
      this.rows.map((r) => (this.other?.has(r.word) ? this.#clip(this.other.get(r.word)) : null)), column((r) => this.matches.has(r.rank))];
    const marks = (name) => ({ paths: () => null, points: { show: (u, si) => drawMarks(u, si, this.box, ...MARKS[name]) } });
    const blue = colour(this.box, "blue"), n = this.rows.length;
    this.plot = chart(this.box, {
      legend: { show: false }, padding: [8, 10, 0, 0],
      cursor: cursor({ y: false, points: { show: false }, focus: { prox: -1 } }),
      scales: { x: { time: false, range: [-0.015 * n - 0.5, 1.015 * n] }, y: { distr: 3, range: [this.floor / 1.3, top * 1.5] } },
      axes: [axis(this.box, { size: 18, space: 60, values: (u, ticks) => ticks.map((t) => (t < 0 || t % 1 ? "" : t)) }),
        axis(this.box, { size: 44, space: 24, filter: tens, grid: { filter: tens, stroke: colour(this.box, "grid"), width: 1 }, values: (u, ticks) => ticks.map((t) => (t == null ? "" : figure(t))) })],
      series: [{}, { stroke: blue, width: 1.75, fill: `color-mix(in srgb, ${blue} 22%, transparent)`, fillTo: () => this.floor / 1.3, points: { show: n <= 60, size: 4, fill: blue } },
        marks("same"), marks("neutral"), marks("erased"), marks("other"), marks("match")],
      hooks: { setCursor: [(u) => this.#onCursor(u.cursor.idx)], draw: [(u) => this.#labels(u)] },
    }, data);
  }

  #onCursor(i) {
    if (i == null || !this.rows[i]) return;
    this.at = i;
    this.on.point(this.rows[i]);
  }

  #onKey(event) {
    const to = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: this.rows.length - 1 }[event.key];
    if (event.key === "Enter" && !event.ctrlKey) this.on.choose(this.rows[this.at]);
    else if (to !== undefined && this.rows[to]) {
      this.pointAt(to);
      this.on.point(this.rows[to]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Names of the erased concepts and of the neutral prompts, above the curve where there is room. */
  #labels(u) {
    const pen = u.ctx, scale = devicePixelRatio || 1, placed = [];
    pen.save();
    pen.font = `${11 * scale}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    for (const r of this.rows.filter((r) => r.kind === "erased" || r.kind === "neutral").slice(0, 8)) {
      const text = (r.word || "(empty prompt)").slice(0, 24), width = pen.measureText(text).width;
      const x = u.valToPos(r.rank, "x", true), y = u.valToPos(this.#clip(r.value), "y", true);
      const left = Math.min(x + 10 * scale, u.bbox.left + u.bbox.width - width - 2 * scale);
      let height = Math.max(u.bbox.top + 8 * scale, y - 12 * scale);
      while (placed.some((p) => Math.abs(p.height - height) < 13 * scale && left < p.right && p.left < left + width)) height -= 13 * scale;
      if (height < u.bbox.top + 4 * scale) continue;
      placed.push({ left, right: left + width, height });
      pen.fillStyle = pen.strokeStyle = colour(this.box, r.kind === "erased" ? "red" : "green");
      pen.globalAlpha = 0.5;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(left - 2 * scale, height);
      pen.stroke();
      pen.globalAlpha = 1;
      pen.fillText(text, left, height);
    }
    pen.restore();
  }
}

/** Of the ticks of a logarithmic axis, the powers of ten. */
const tens = (u, ticks) => ticks.map((t) => (t > 0 && Math.abs(Math.log10(t) - Math.round(Math.log10(t))) < 1e-6 ? t : null));

/** Draws the points of one series as stars, diamonds, dots or rings. */
function drawMarks(u, si, box, name, shape) {
  const pen = u.ctx, r = (shape === "dot" ? 2.6 : shape === "star" ? 7 : 5) * (devicePixelRatio || 1);
  pen.save();
  pen.fillStyle = pen.strokeStyle = colour(box, name);
  pen.lineWidth = 1.5 * (devicePixelRatio || 1);
  u.data[si].forEach((value, i) => {
    if (value == null) return;
    const x = u.valToPos(u.data[0][i], "x", true), y = u.valToPos(value, "y", true);
    pen.beginPath();
    if (shape === "dot" || shape === "ring") pen.arc(x, y, r, 0, 2 * Math.PI);
    const corners = shape === "star" ? 10 : 4;
    if (shape === "star" || shape === "diamond")
      for (let k = 0; k < corners; k++) {
        const turn = (k * 2 * Math.PI) / corners - Math.PI / 2, length = shape === "star" && k % 2 ? r * 0.42 : r;
        pen.lineTo(x + length * Math.cos(turn), y + length * Math.sin(turn));
      }
    pen.closePath();
    shape === "ring" ? pen.stroke() : pen.fill();
  });
  pen.restore();
  return false;
}
