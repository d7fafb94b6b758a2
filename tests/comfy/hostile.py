"""Eraser files that mean harm, or are broken."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

SCRIPT = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


def card(**changes) -> dict:
    return {"concepts": [{"name": SCRIPT, "target": SCRIPT}], "preserved": [SCRIPT, "bus"], "recipe": SCRIPT, "steps_done": 300, "base": {"name": SCRIPT, "architecture": SCRIPT},
            "scores": {"erased": {SCRIPT: {"before": 0.9, "after": 0.05}}, "kept": {"before": 0.93, "after": 0.92}}} | changes


def picture(form: str = "JPEG") -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (256, 128), (200, 60, 60)).save(buffer, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def write(folder: Path) -> None:
    """hostile/*.safetensors below `folder`."""
    import torch
    from safetensors.torch import save

    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {f"{layer}.lora_down.weight": torch.zeros(4, 128), f"{layer}.lora_up.weight": torch.zeros(128, 4)}
    svg = "data:image/svg+xml;base64," + base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.pwned=1'/>").decode()
    files = {
        "script": {"erasure.card": json.dumps(card()), "modelspec.title": SCRIPT, "modelspec.description": SCRIPT, "modelspec.license": SCRIPT, "modelspec.thumbnail": picture()},
        "large": {"erasure.card": json.dumps(card(recipe="r" * 900_000)), "modelspec.title": "large"},
        "too-large": {"erasure.card": json.dumps(card(recipe="r" * 2_000_000))},
        "broken-card": {"erasure.card": '{"concepts": [{"name": "x"', "modelspec.title": f"broken {SCRIPT}"},
        "odd-card": {"erasure.card": json.dumps({"concepts": [7, {"name": ["x"]}, {}], "preserved": {"a": 1}, "scores": {"erased": {"x": {"before": 10**400, "after": 0}}, "kept": [1]}, "base": 3, "steps_done": -1}), "modelspec.title": "odd"},
        "svg": {"erasure.card": json.dumps(card(concepts=[{"name": "svg", "target": ""}])), "modelspec.thumbnail": svg},
    }
    (folder / "hostile").mkdir(parents=True, exist_ok=True)
    for name, metadata in files.items():
        (folder / "hostile" / f"{name}.safetensors").write_bytes(save(tensors, metadata))
    (folder / "hostile" / "garbage.safetensors").write_bytes(b"\xff" * 200)
