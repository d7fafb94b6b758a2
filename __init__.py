"""ComfyUI finds the nodes here. Outside ComfyUI, use the package `erasure` (python -m erasure)."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes import ErasureExtension

    return ErasureExtension()
