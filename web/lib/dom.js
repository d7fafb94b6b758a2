/** Small helpers for building elements. Text always goes in as text: nothing here ever parses HTML. */

/**
 * An element. `props`: class, text, on (event -> handler), any attribute (true = present, false/null = absent).
 * @param {string} tag
 * @param {object} [props]
 * @param {...(Node|string|null|false)} children
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((c) => c != null && c !== false));
  return element;
}

/** A button with a text, a label for screen readers and a handler. */
export function button(text, label, onclick, props = {}) {
  return h("button", { type: "button", class: "ce-button", title: label, "aria-label": label, ...props, on: { click: onclick }, text });
}

/** Seconds as 1:05 or 2:01:05. */
export function clock(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, String(s % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** A share as a whole percentage. */
export const percent = (share) => (share == null || !isFinite(share) ? "–" : `${Math.round(100 * share)} %`);

/** A measured number with three figures. */
export function figure(value) {
  if (value == null || !isFinite(value)) return "–";
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/** Calls `work` once after `wait` ms without a further call. */
export function settled(work, wait) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), wait);
  };
}
