"""What model managers read in an adapter file: ModelSpec 1.0.1, kohya's ss_* / sshs_* and our own card.

The erased concept is never written where UIs look for trigger words (`ss_tag_frequency`,
`modelspec.trigger_phrase`): they would offer it as a prompt. It stands in `modelspec.usage_hint`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from .erasure_adapter import ErasureAdapter

CARD_KEY = "erasure.card"


def metadata_for(adapter: ErasureAdapter, title: str, author: str, notes: str, payload_sha256: str, thumbnail: bytes | None) -> dict[str, str]:
    """All metadata as strings.

    Args:
        payload_sha256: hex digest of the tensor data without the header (Civitai's AutoV3, `sshs_model_hash`).
        thumbnail: JPEG bytes or None.
    """
    card = adapter.card
    ss = _training_fields(adapter, title, notes)
    erased = ", ".join(c["name"] for c in card.get("concepts", [])) or "unknown"
    spec = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{card.get('base', {}).get('architecture', 'stable-diffusion-v1')}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.resolution": "x".join(map(str, card.get("base", {}).get("resolution", (512, 512)))),
        "modelspec.description": notes or f"Erases: {erased}.",
        "modelspec.author": author,
        "modelspec.usage_hint": f"Load at strength 1.0. No trigger word. Erases: {erased}.",
        "modelspec.tags": "concept-erasure",
        "modelspec.hash_sha256": "0x" + payload_sha256,
    }
    if thumbnail:
        spec["modelspec.thumbnail"] = "data:image/jpeg;base64," + base64.b64encode(thumbnail).decode()
    own = {CARD_KEY: json.dumps(card, sort_keys=True, allow_nan=False, ensure_ascii=False), "format": "pt"}
    hashes = {"sshs_model_hash": payload_sha256, "sshs_legacy_hash": hashlib.sha256(json.dumps(ss, sort_keys=True).encode() + payload_sha256.encode()).hexdigest()[:8]}
    return {k: v for k, v in {**spec, **ss, **hashes, **own}.items() if v != ""}


def _training_fields(adapter: ErasureAdapter, title: str, notes: str) -> dict[str, str]:
    card: Mapping = adapter.card
    base, config = card.get("base", {}), card.get("config", {})
    version = base.get("version", "sd_1.5")
    fields = {
        "ss_base_model_version": version,
        "ss_v2": str(version.startswith("sd_2")),
        "ss_network_module": "networks.lora",
        "ss_network_dim": adapter.rank,
        "ss_network_alpha": adapter.alpha,
        "ss_output_name": title,
        "ss_sd_model_name": base.get("name", ""),
        "ss_sd_model_hash": str(base.get("hash", ""))[:10],
        "ss_steps": card.get("steps_done", ""),
        "ss_seed": config.get("seed", ""),
        "ss_learning_rate": config.get("learning_rate", ""),
        "ss_optimizer": "AdamW",
        "ss_training_comment": notes or f"concept eraser, recipe {card.get('recipe', '?')}",
    }
    return {k: str(v) for k, v in fields.items()}
