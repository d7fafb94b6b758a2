/** Puts an element into a node as its last widget, in both node renderers. */
import { app } from "./comfy.js";

/**
 * @param {object} node
 * @param {HTMLElement} element
 * @param {{name?: string, minHeight: number, maxHeight?: number, minWidth?: number, pictures?: boolean}} size `pictures`: the element shows the node's pictures, so core need not
 */
export function mount(node, element, { name = "concept_erasure_view", minHeight, maxHeight, minWidth = 300, pictures = false }) {
  element.classList.add("ce", "widget-expands"); // the second makes Vue nodes give it what height is left
  element.style.minHeight = `${minHeight}px`;
  const widget = node.addDOMWidget(name, "concept_erasure", element, {
    serialize: false, hideOnZoom: false, margin: 8,
    getMinHeight: () => minHeight + 16, getMaxHeight: () => maxHeight,
    getValue: () => "", setValue: () => {},
  });
  widget.serialize = false;
  if (pictures) hideCorePreview(node, element);
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
function hideCorePreview(node, element) {
  element.classList.add("ce-own-pictures");
  node.onDrawBackground = () => {};
}

/** Hides core's own line of progress text in a node whose panel says it better. */
export function hideProgressText(node) {
  const line = node.widgets?.find((w) => w.name === "$$node-text-preview");
  if (!line || line.hidden) return;
  line.hidden = true;
  line.computeLayoutSize = () => ({ minHeight: 0, maxHeight: 0, minWidth: 0 });
}

/** Removes core's line of progress text after a run; the next run makes a new one. */
export function dropProgressText(node) {
  const at = node.widgets?.findIndex((w) => w.name === "$$node-text-preview") ?? -1;
  if (at < 0) return;
  node.widgets[at].onRemove?.();
  node.widgets.splice(at, 1);
}

/** Wheel and middle button over a panel belong to the canvas, unless something under the pointer scrolls. */
function passToCanvas(element) {
  const scrolls = (box) => box && (box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1);
  element.addEventListener("pointerover", (event) => { // Vue nodes pass every wheel on, except from elements with this mark
    const box = event.target.closest?.(".ce-scroll");
    if (box) scrolls(box) ? box.setAttribute("data-capture-wheel", "true") : box.removeAttribute("data-capture-wheel");
  });
  element.addEventListener("wheel", (event) => {
    if (event.target.closest?.(".ce-wheel") || (scrolls(event.target.closest?.(".ce-scroll")) && !event.ctrlKey)) event.stopPropagation();
    else if (!element.closest(".lg-node")) app.canvas.processMouseWheel(event);
  });
  element.addEventListener("pointerdown", (event) => {
    if (event.button === 1 && !element.closest(".lg-node")) app.canvas.processMouseDown(event);
    else if (event.button === 0) event.stopPropagation();
  });
}
