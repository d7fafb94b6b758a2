/** Line charts in the page's colours, with uPlot; they follow their box and the canvas zoom. */
import uPlot from "../vendor/uPlot.js";

/** A colour of the style sheet, as it is now. */
export const colour = (element, name) => getComputedStyle(element).getPropertyValue(`--ce-${name}`).trim() || "#888";

/**
 * A chart that fills `box`.
 * @param {HTMLElement} box positioned, with a height of its own
 * @param {object} options uPlot's, without width and height
 * @param {Array} data uPlot's
 */
export function chart(box, options, data) {
  const plot = new uPlot({ ...options, ...sizeOf(box) }, data, box);
  const watcher = new ResizeObserver(() => {
    const size = sizeOf(box);
    if (size.width !== plot.width || size.height !== plot.height) plot.setSize(size);
  });
  watcher.observe(box);
  const destroy = plot.destroy.bind(plot);
  plot.destroy = () => {
    watcher.disconnect();
    destroy();
  };
  return plot;
}

const sizeOf = (box) => ({ width: Math.max(60, box.clientWidth), height: Math.max(40, box.clientHeight) });

/** An axis in muted ink. */
export function axis(box, more = {}) {
  return {
    stroke: colour(box, "muted"), font: "10px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif",
    grid: { stroke: colour(box, "grid"), width: 1 }, ticks: { show: false }, gap: 3, ...more,
  };
}

/** A cursor that is right at every zoom of the graph: uPlot measures on the screen, the canvas scales. */
export function cursor(more = {}) {
  return {
    drag: { x: false, y: false },
    move: (plot, left, top) => {
      const scale = plot.over.getBoundingClientRect().width / plot.over.offsetWidth || 1;
      return [left / scale, top / scale];
    },
    ...more,
  };
}

/** Calls `redraw` whenever the page's theme changes. */
export function onTheme(redraw) {
  const watcher = new MutationObserver(() => redraw());
  watcher.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  watcher.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "style"] });
  return () => watcher.disconnect();
}
