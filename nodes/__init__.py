"""ComfyUI nodes: each a schema and one call into `erasure`."""

from comfy_api.latest import ComfyExtension

from . import advanced, apply, before_after, concept_space, demo, probe, routes, save, train

NODES = (
    demo.LoadErasureDemo, concept_space.LoadConceptSpace, train.AdversarialEraseTrain, advanced.EraseAdvanced, apply.ApplyErasedLoRA,
    save.SaveErasedLoRA, probe.SensitivityProbe, before_after.BeforeAfter,
)


class ErasureExtension(ComfyExtension):
    async def get_node_list(self):
        return list(NODES)


routes.register()
