/** The few things the widgets need of ComfyUI's page: server calls, picture addresses, nodes by execution id. */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

export { api, app };

/** Folder of this pack as the server serves it: /extensions/<pack>/. */
export const packUrl = new URL("../", import.meta.url);

/** Name of the pack's folder, under which its example workflows are listed. */
export const packName = decodeURIComponent(packUrl.pathname.split("/").filter(Boolean).at(-1));

/** JSON from one of our routes; null when the server refuses or is away. */
export async function ask(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  try {
    const answer = await api.fetchApi(`/concept_erasure/${path}${text && `?${text}`}`, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Sends a command to one of our routes; null when it failed. */
export async function command(path) {
  try {
    const answer = await api.fetchApi(`/concept_erasure/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Address of a picture that a node reported. */
export function pictureUrl({ filename, subfolder = "", type = "temp" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** Address of the picture inside an eraser's file. */
export const thumbnailUrl = (name, version) => api.apiURL(`/concept_erasure/thumbnail?${new URLSearchParams({ name, v: version })}`);

const rootGraph = () => app.rootGraph ?? app.graph?.rootGraph ?? app.graph;

/** Every node with its execution id ("5", or "12:5" inside a subgraph). */
export function* allNodes(graph = rootGraph(), prefix = "") {
  for (const node of graph?.nodes ?? []) {
    yield [prefix + node.id, node];
    if (node.subgraph) yield* allNodes(node.subgraph, `${prefix}${node.id}:`);
  }
}

/** The id under which the server executes a node. */
export function executionId(node) {
  for (const [id, found] of allNodes()) if (found === node) return id;
  return String(node.id);
}

/** Whether something that ran in workflow `id` belongs to the page's workflow; unknown origins do. */
export const isThisWorkflow = (id) => !id || !rootGraph()?.id || rootGraph().id === id;

let recent = null;

/** What the server still knows a node of this workflow to have shown last: its `ui` output, or null. Read once for all nodes of a page. */
export async function lastOutput(node) {
  recent ??= fetchHistory().finally(() => setTimeout(() => (recent = null), 2000));
  const id = executionId(node);
  for (const entry of await recent) {
    const [, , prompt, extra] = entry.prompt ?? [];
    if (prompt?.[id]?.class_type === node.comfyClass && entry.outputs?.[id] && isThisWorkflow(extra?.extra_pnginfo?.workflow?.id)) return entry.outputs[id];
  }
  return null;
}

async function fetchHistory() {
  try {
    const answer = await api.fetchApi("/history?max_items=12");
    return Object.values(await answer.json()).reverse();
  } catch {
    return [];
  }
}

/** A widget of a node by name. */
export const widgetOf = (node, name) => node.widgets?.find((w) => w.name === name);

/** Sets a widget's value as if typed. */
export function setWidget(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  widget.value = value;
  if (widget.inputEl) widget.inputEl.value = value;
  widget.callback?.(value);
  node.graph?.setDirtyCanvas?.(true, true);
}
