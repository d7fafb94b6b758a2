"""Erasers on this machine, read from the headers of files in the loras folders: cards and thumbnails as plain, checked values.

Nothing in a file is trusted: sizes are limited, text is cut and stripped of control characters, pictures are drawn anew.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import struct
from functools import lru_cache
from pathlib import Path

import folder_paths
from PIL import Image

from ..erasure.adapter.file import MAX_HEADER
from ..erasure.adapter.metadata import CARD_KEY
from ..erasure.errors import printable

_TEXT, _WORDS, _FILES = 400, 24, 3000
_THUMBNAIL_BYTES, _THUMBNAIL_SIDE = 400_000, 1024
_FORMATS = ("data:image/jpeg;", "data:image/png;", "data:image/webp;")
_SUFFIX = ".safetensors"


def names() -> list[str]:
    """Safetensors files in the loras folders, as the nodes list them."""
    return [name for name in folder_paths.get_filename_list("loras") if name.lower().endswith(_SUFFIX)][:_FILES]


def path_of(name: str) -> Path | None:
    """The file behind a listed name; None for every other name."""
    found = folder_paths.get_full_path("loras", name) if name in names() else None
    return Path(found) if found else None


def card(name: str) -> dict | None:
    """What a file says of itself; None when there is no such file. `problem` says why it cannot be read."""
    path = path_of(name)
    return None if path is None else {"name": name, **_card(path)}


def erasers() -> list[dict]:
    """Cards of all files that say they erase, or that should and are damaged; newest first."""
    found = [c for c in map(card, names()) if c and (c["erases"] or c["damaged_card"])]
    return sorted(found, key=lambda c: -c["modified"])


def thumbnail(name: str) -> bytes | None:
    """The picture in a file as a JPEG drawn anew, or None."""
    path = path_of(name)
    return _thumbnail(str(path), *_stamp(path)) if path else None


def _stamp(path: Path) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_mtime_ns, stat.st_size


def _card(path: Path) -> dict:
    modified, size = _stamp(path)
    return {**_read_card(str(path), modified, size), "modified": modified // 10**9, "megabytes": round(size / 1e6, 2)}


@lru_cache(maxsize=_FILES)
def _read_card(path: str, modified: int, size: int) -> dict:
    empty = {"problem": "", "damaged_card": False, "erases": [], "thumbnail": False}
    try:
        header = _header(path, size)
    except ValueError as error:
        return {**empty, "problem": str(error)}
    metadata = {k: v for k, v in (header.get("__metadata__") or {}).items() if isinstance(v, str)}
    said, damaged = _own_card(metadata)
    base = said.get("base") if isinstance(said.get("base"), dict) else {}
    return {
        **empty,
        "damaged_card": damaged,
        "problem": "Its card is damaged: what it erases is unknown." if damaged else "",
        "title": _text(metadata.get("modelspec.title")),
        "author": _text(metadata.get("modelspec.author")),
        "notes": _text(metadata.get("modelspec.description")),
        "license": _text(metadata.get("modelspec.license")),
        "erases": [{"name": _text(c["name"]), "target": _text(c.get("target"))} for c in _list(said.get("concepts"))],
        "protected": [_text(w) for w in _list(said.get("preserved")) if isinstance(w, str)],
        "recipe": _text(said.get("recipe")),
        "source": _text(said.get("source")),
        "steps": _count(said.get("steps_done")),
        "rank": _rank(header),
        "base": _text(base.get("name") or metadata.get("ss_sd_model_name")),
        "architecture": _text(base.get("architecture") or metadata.get("modelspec.architecture")),
        "scores": _scores(said.get("scores")),
        "thumbnail": metadata.get("modelspec.thumbnail", "").startswith(_FORMATS),
    }


def _header(path: str, size: int) -> dict:
    """The JSON header of a safetensors file.

    Raises:
        ValueError: says in plain words what is wrong.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if length > MAX_HEADER and length + 8 <= size:
                raise ValueError("its header is larger than 1 MiB and is not read")
            if length + 8 > size:
                raise ValueError("it is not a whole safetensors file")
            header = json.loads(file.read(length))
    except OSError:
        raise ValueError("it cannot be opened") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("its header is not readable") from None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__") or {}, dict):
        raise ValueError("its header is not readable")
    return header


def _own_card(metadata: dict) -> tuple[dict, bool]:
    """(card, whether there is one that cannot be read)."""
    if CARD_KEY not in metadata:
        return {}, False
    try:
        said = json.loads(metadata[CARD_KEY])
    except (ValueError, RecursionError):
        return {}, True
    concepts = said.get("concepts") if isinstance(said, dict) else None
    whole = isinstance(concepts, list) and concepts and all(isinstance(c, dict) and isinstance(c.get("name"), str) and c["name"] for c in concepts)
    return (said, False) if whole else ({}, True)


def _rank(header: dict) -> int | None:
    ranks = [v["shape"][0] for k, v in header.items() if k.endswith(".lora_down.weight") and isinstance(v, dict) and isinstance(v.get("shape"), list) and v["shape"]]
    return _count(max(ranks, key=lambda r: r if isinstance(r, int) else 0)) if ranks else None


def _scores(said: object) -> list[dict]:
    """Measured shares before and after, as [{"name", "before", "after"}]."""
    rows = []
    for key, label in (("erased", ""), ("kept", "kept concepts"), ("worst10", "10 most harmed"), ("nearest10", "10 nearest")):
        part = said.get(key) if isinstance(said, dict) else None
        if not isinstance(part, dict):
            continue
        for name, values in part.items() if key == "erased" else ((label, part),):
            pair = [values.get(k) if isinstance(values, dict) else None for k in ("before", "after")]
            if all(isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v <= 1 for v in pair):
                rows.append({"name": _text(name), "before": float(pair[0]), "after": float(pair[1]), "erased": key == "erased"})
    return rows[:12]


@lru_cache(maxsize=64)
def _thumbnail(path: str, modified: int, size: int) -> bytes | None:
    try:
        said = (_header(path, size).get("__metadata__") or {}).get("modelspec.thumbnail")
        if not isinstance(said, str) or len(said) > _THUMBNAIL_BYTES or not said.startswith(_FORMATS):
            return None
        data = base64.b64decode(said.partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
            if max(picture.size) > _THUMBNAIL_SIDE:
                return None
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "JPEG", quality=88)
    except (ValueError, binascii.Error, OSError, SyntaxError, Image.DecompressionBombError):
        return None
    return buffer.getvalue()


def _text(value: object) -> str:
    return printable(value)[:_TEXT] if isinstance(value, (str, int, float)) else ""


def _list(value: object) -> list:
    return value[:_WORDS] if isinstance(value, list) else []


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None
