"""The resumable state of a training run: safetensors and JSON only, each file whole or not there.

`state.safetensors` names the trajectory files it needs, which are written before it and removed only after it has
been replaced: whatever moment the process dies, the last state loads. A run that continues from it ends in the
same bytes as one that was never interrupted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .files import remove_quietly, write_safetensors
from .latents import TrajectoryPool, load_trajectory

_FILE, _POOL, _KEY = "state.safetensors", "pool", "state"


@dataclass(frozen=True)
class SavedState:
    """Tensors by name, plain facts, and the (key, version, tensors) of every trajectory of a saved run."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, object]
    trajectories: list[tuple[str, int, Mapping[str, Tensor]]]


def state_folder(output: Path, identity: str) -> Path:
    """Where the run that writes `output` keeps its state; another configuration gets another folder."""
    return output.with_name(f"{output.stem}.{identity[:10]}.state")


def save_state(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object], pool: TrajectoryPool) -> None:
    """Write the state atomically, then drop trajectory files that nothing refers to any more."""
    index = pool.save(folder / _POOL)
    metadata = {_KEY: json.dumps({"facts": facts, "pool": index}, allow_nan=False)}
    write_safetensors(folder / _FILE, tensors, metadata)
    wanted = {name for _, _, name in index}
    for path in (folder / _POOL).iterdir():
        if path.name not in wanted:
            remove_quietly(path)


def load_state(folder: Path, identity: str) -> SavedState | None:
    """The saved state of the run `identity`, or None when there is none that can be continued."""
    try:
        with safe_open(folder / _FILE, framework="pt") as file:
            saved = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # not the mapped file itself
        facts, index = saved["facts"], saved["pool"]
        if facts["identity"] != identity:
            return None
        held = {name: load_trajectory(folder / _POOL, name) for _, _, name in index}
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    return SavedState(tensors, facts, [(key, version, held[name]) for key, version, name in index])


def clear_state(folder: Path) -> None:
    """Remove a finished run's state."""
    shutil.rmtree(folder, ignore_errors=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An Adam-like optimiser's moments by "<parameter index>.<name>"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, entry in state.items() for name, value in entry.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def under_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}
