/** Registers the pack's pages with ComfyUI: one widget per node kind, live messages, the sidebar. */
import { api, app, packUrl } from "./lib/comfy.js";
import { h } from "./lib/dom.js";
import { fit } from "./lib/mount.js";
import { addApplyCard, addSaveNote, onExecutionError } from "./widgets/eraser.js";
import { addBeforeAfter } from "./widgets/before_after.js";
import { addPicker } from "./widgets/picker.js";
import { addSpectrum } from "./widgets/spectrum.js";
import { addSidebar } from "./widgets/sidebar.js";
import { addTraining, onTraining } from "./widgets/training.js";

const WIDGETS = {
  AdversarialEraseTrain: addTraining, BeforeAfter: addBeforeAfter, LoadConceptSpace: addPicker,
  ApplyErasedLoRA: addApplyCard, SaveErasedLoRA: addSaveNote, SensitivityProbe: addSpectrum,
};

for (const file of ["style.css", "vendor/uPlot.css"]) document.head.append(h("link", { rel: "stylesheet", href: new URL(file, packUrl).href }));

app.registerExtension({
  name: "concept-erasure",
  setup() {
    api.addEventListener("concept_erasure.training", ({ detail }) => onTraining(detail));
    api.addEventListener("execution_error", ({ detail }) => onExecutionError(detail));
    addSidebar();
  },
  nodeCreated(node) {
    WIDGETS[node.comfyClass]?.(node);
  },
  loadedGraphNode(node) {
    if (node.comfyClass in WIDGETS) fit(node);
  },
});
