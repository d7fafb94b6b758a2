/** Puts an element into a node as its last widget, in both node renderers. */
import { app } from "./comfy.js";

/**
 * @param {object} node
 * @param {HTMLElement} element
 * @param {{name?: string, minHeight: number, maxHeight?: number, minWidth?: number}} size
 */
export function mount(node, element, { name = "concept_erasure_view", minHeight, maxHeight, minWidth = 300 }) {
  element.classList.add("ce");
  element.style.minHeight = `${minHeight}px`;
  const widget = node.addDOMWidget(name, "concept_erasure", element, {
    serialize: false, hideOnZoom: false, margin: 8,
    getMinHeight: () => minHeight + 16, getMaxHeight: () => maxHeight,
    getValue: () => "", setValue: () => {},
  });
  widget.serialize = false;
  hideCorePreview(node);
  passToCanvas(element);
  node.setSize([Math.max(node.size[0], minWidth), Math.max(node.size[1], node.computeSize()[1])]);
  return widget;
}

/** Makes a loaded node large enough for its widgets; workflows saved without this pack's pages have smaller ones. */
export function fit(node) {
  const [width, height] = node.computeSize();
  if (node.size[0] < width || node.size[1] < height) node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
}

/** Our widget shows what core would draw below it a second time. (With Vue nodes the style sheet hides that.) */
function hideCorePreview(node) {
  node.onDrawBackground = () => {};
}

/** Wheel and middle button over a panel belong to the canvas, unless something under the pointer scrolls. */
function passToCanvas(element) {
  element.addEventListener("wheel", (event) => {
    const box = event.target.closest?.(".ce-scroll");
    const scrolls = box && (box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1);
    if (event.target.closest?.(".ce-wheel") || (scrolls && !event.ctrlKey)) event.stopPropagation();
    else if (!element.closest(".lg-node")) app.canvas.processMouseWheel(event);
  });
  element.addEventListener("pointerdown", (event) => {
    if (event.button === 1 && !element.closest(".lg-node")) app.canvas.processMouseDown(event);
    else if (event.button === 0) event.stopPropagation();
  });
}
