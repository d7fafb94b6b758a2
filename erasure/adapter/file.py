"""The adapter file: kohya names, diffusers block layout, float16, metadata that model managers read.

Stock ComfyUI and, for SD 1.x, 2.x and XL, diffusers load it with zero unmatched keys. Its bytes are a function of the
configuration, the base model and the seed alone: times and memory go into the training report beside it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import ErasureError
from ..files import safetensors_parts, write_atomic, write_safetensors
from .erasure_adapter import ErasureAdapter, Factors
from .metadata import CARD_KEY, metadata_for

MAX_HEADER = 1 << 20  # ComfyUI shows no metadata of files whose header is larger
_DOWN, _UP, _ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"


def save_adapter(adapter: ErasureAdapter, path: str | Path, *, title: str = "", author: str = "", notes: str = "",
                 thumbnail: bytes | None = None) -> Path:
    """Write the adapter atomically.

    Args:
        thumbnail: JPEG bytes of a before | after picture, at most 256 px a side.

    Raises:
        ErasureError: non-finite weights, metadata over 1 MiB, or a place that cannot be written.
    """
    path = Path(path)
    if not adapter.is_finite():
        raise ErasureError("adapter", "its weights are not finite", "Train again with a lower learning rate; nothing was written.")
    tensors = state_dict(adapter)
    _, payload = safetensors_parts(tensors, {})
    metadata = metadata_for(adapter, title or path.stem, author, notes, hashlib.sha256(payload).hexdigest(), thumbnail)
    header, payload = safetensors_parts(tensors, metadata)
    if len(header) >= MAX_HEADER:
        raise ErasureError("metadata", "the header would be over 1 MiB, which model managers ignore", "Shorten the notes or the thumbnail.")
    return write_atomic(path, header, payload)


def load_adapter(path: str | Path) -> ErasureAdapter:
    """Read an adapter file written by this tool, or any LoRA in kohya naming.

    Raises:
        ErasureError: no such file, not safetensors, not a kohya-style LoRA, or non-finite weights.
    """
    path = Path(path)
    if not path.is_file():
        raise ErasureError("adapter", f"'{path}' does not exist", "Give the .safetensors file that 'erase' wrote.")
    if path.suffix.lower() != ".safetensors":
        raise ErasureError("adapter", f"'{path.name}' is not a .safetensors file", "Pickled adapters are never read; convert it first.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata, tensors = file.metadata() or {}, {key: file.get_tensor(key).clone() for key in file.keys()}
    except Exception as error:
        raise ErasureError("adapter", f"'{path.name}' is damaged or not a safetensors file", "Copy or train it again.") from error
    return adapter_from_tensors(tensors, f"'{path.name}'", metadata)


def adapter_from_tensors(tensors: Mapping[str, Tensor], name: str, metadata: Mapping[str, str] = MappingProxyType({})) -> ErasureAdapter:
    """An adapter from a state dict in kohya naming; `name` is what errors call it.

    Raises:
        ErasureError: other names, factors that do not fit together, or non-finite weights.
    """
    adapter = ErasureAdapter(_read_layers(tensors, name), _read_card(metadata))
    if not adapter.is_finite():
        raise ErasureError("adapter", f"{name} holds non-finite weights", "Train it again with a lower learning rate.")
    return adapter


def store_scores(path: str | Path, scores: Mapping[str, object]) -> Path:
    """Write measured scores into the card of an adapter file; weights, hashes and other metadata stay as they are."""
    adapter, metadata = load_adapter(path), read_metadata(path)
    card = {**adapter.card, "scores": dict(scores)}
    metadata[CARD_KEY] = json.dumps(card, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return write_safetensors(path, state_dict(adapter), metadata)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The file's raw metadata, strings as they are (untrusted text)."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def state_dict(adapter: ErasureAdapter) -> dict[str, Tensor]:
    """Flat tensors under kohya names, float16."""
    tensors = {}
    for key, f in adapter.layers.items():
        tensors[key + _DOWN], tensors[key + _UP] = f.down.half(), f.up.half()
        tensors[key + _ALPHA] = torch.tensor(f.alpha, dtype=torch.float16)
    return tensors


def _read_layers(tensors: Mapping[str, Tensor], name: str) -> dict[str, Factors]:
    keys = sorted(k[: -len(_DOWN)] for k in tensors if k.endswith(_DOWN))
    strange = [k for k in tensors if not k.endswith((_DOWN, _UP, _ALPHA))]
    if not keys or strange or any(k + _UP not in tensors for k in keys):
        hint = f" (first unknown name: {strange[0]})" if strange else ""
        raise ErasureError("adapter", f"{name} is not a LoRA with kohya names{hint}", "Use a file written by 'erase' or a plain kohya LoRA.")
    layers = {}
    for k in keys:
        down, up, alpha = tensors[k + _DOWN], tensors[k + _UP], tensors.get(k + _ALPHA)
        shaped = down.dim() == up.dim() and down.dim() in (2, 4) and down.shape[0] == up.shape[1] >= 1
        if not shaped or (alpha is not None and alpha.numel() != 1):
            raise ErasureError("adapter", f"layer {k} of {name} is not a pair of low-rank factors", "Use a file written by 'erase' or a plain kohya LoRA.")
        layers[k] = Factors(down, up, down.shape[0] if alpha is None else float(alpha))
    return layers


def _read_card(metadata: Mapping[str, str]) -> dict:
    """The card, or {} when it is missing, broken or not shaped like one: everything in a file is untrusted."""
    try:
        card = json.loads(metadata.get(CARD_KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    return card if _is_card(card) else {}


def _is_card(card: object) -> bool:
    def texts(values: object) -> bool:
        return isinstance(values, list) and all(isinstance(v, str) for v in values)

    if not isinstance(card, dict):
        return False
    base, concepts = card.get("base", {}), card.get("concepts", [])
    if not isinstance(base, dict) or not isinstance(concepts, list) or not isinstance(card.get("config", {}), dict):
        return False
    fingerprint = base.get("fingerprint", {})
    return (
        all(isinstance(c, dict) and texts([c.get("name"), c.get("target")]) for c in concepts)
        and texts(card.get("preserved", []))
        and isinstance(fingerprint, dict) and all(isinstance(v, float) and math.isfinite(v) for v in fingerprint.values())
    )
