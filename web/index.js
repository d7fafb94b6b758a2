/** Registers the pack's pages with ComfyUI: one widget per node kind, live messages, the sidebar. */
import { api, app, packUrl } from "./lib/comfy.js";
import { h } from "./lib/dom.js";
import { fit } from "./lib/mount.js";
import { addTraining, onTraining } from "./widgets/training.js";

const WIDGETS = {
  AdversarialEraseTrain: addTraining,
};

for (const file of ["style.css", "vendor/uPlot.css"]) document.head.append(h("link", { rel: "stylesheet", href: new URL(file, packUrl).href }));

app.registerExtension({
  name: "concept-erasure",
  setup() {
    api.addEventListener("concept_erasure.training", ({ detail }) => onTraining(detail));
  },
  nodeCreated(node) {
    WIDGETS[node.comfyClass]?.(node);
  },
  loadedGraphNode(node) {
    if (node.comfyClass in WIDGETS) fit(node);
  },
});
