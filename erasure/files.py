"""Files that are either whole or not there: temporary name, sync, rename. Only safetensors and JSON."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from .errors import ErasureError


def cache_folder() -> Path:
    """Where encodings are kept: $ERASURE_CACHE, else the user's cache folder."""
    if folder := os.environ.get("ERASURE_CACHE"):
        return Path(folder)
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "concept-erasure"


def write_atomic(path: str | Path, *data: bytes | memoryview) -> Path:
    """Write `data`, piece after piece, to `path` so that a crash at any moment leaves the old file or the new one.

    Raises:
        ErasureError: full disk, read-only or forbidden folder; nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.writelines(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        remove_quietly(temporary)
        raise _writable_error(path, error) from error
    return path


def write_json(path: str | Path, value: object) -> Path:
    """Atomic, human-readable JSON; NaN is refused because no other reader accepts it."""
    return write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_safetensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Atomic safetensors file whose bytes depend on nothing but its content."""
    return write_atomic(path, *safetensors_parts(tensors, metadata))


def safetensors_parts(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """Header and payload of a safetensors file; metadata keys sorted, which the library leaves to chance."""
    data = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, dict(metadata))
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, memoryview(data)[8 + length :]


def check_writable(field: str, path: str | Path, suffixes: tuple[str, ...]) -> Path:
    """Refuse an output path before the work that would fill it: wrong suffix, a folder, read-only, full disk.

    Raises:
        ErasureError: names `field` and the remedy.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ErasureError(field, f"'{path.name}' must end in {' or '.join(suffixes)}", "Rename the output.")
    if path.is_dir():
        raise ErasureError(field, f"'{path}' is a folder", "Give a file name.")
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(probe, "wb") as file:
            file.write(bytes(4096))
    except OSError as error:
        raise _writable_error(path, error, field) from error
    finally:
        remove_quietly(probe)
    return path


def remove_quietly(path: Path) -> None:
    """Delete a file if that is possible now."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass


def _writable_error(path: Path, error: OSError, field: str = "out") -> ErasureError:
    reasons = {
        errno.ENOSPC: ("the disk is full", "Free some space or write elsewhere."),
        errno.EROFS: ("the folder is read-only", "Choose a folder you may write to."),
        errno.EACCES: ("you may not write there", "Choose a folder you may write to."),
        errno.EPERM: ("you may not write there", "Choose a folder you may write to."),
    }
    problem, remedy = reasons.get(error.errno, (error.strerror or str(error), "Choose another output path."))
    return ErasureError(field, f"cannot write '{path}': {problem}", remedy)
