"""Every setting of an eraser, once: default, range and help live here and feed the CLI, node tooltips and docs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field

from .adapter.lora import PARAMETER_SETS
from .errors import ErasureError


def setting(default, help: str, *, low=None, high=None, choices: tuple[str, ...] = (), advanced: bool = True):
    """A dataclass field that carries its own documentation and limits."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices, "advanced": advanced})


@dataclass(frozen=True)
class Concept:
    """One concept to erase.

    Attributes:
        name: the prompt of the concept ("fuel pump", "ink style").
        target: what it becomes; "" erases towards the empty prompt.
        exclude: further words that must never be preserved while this is erased.
    """

    name: str
    target: str = ""
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class EraseConfig:
    """Settings of one training run. Build it with `recipes.configure`; `validate` raises on nonsense."""

    concepts: tuple[Concept, ...] = setting((), "what to erase", advanced=False)
    recipe: str = setting("ap-ranked", "published method, or control", advanced=False)
    steps: int = setting(500, "weight updates", low=1, high=100_000, advanced=False)
    preserve_strength: float = setting(1.0, "lambda: weight of the preservation loss", low=0.0, high=1000.0, advanced=False)
    rank: int = setting(8, "rank of the LoRA; drift, not capacity, is the limit, so keep it small", low=1, high=256, advanced=False)
    seed: int = setting(0, "all randomness comes from this and the step number", low=0, high=2**53, advanced=False)
    learning_rate: float = setting(3e-4, "AdamW step size", low=1e-8, high=1.0)
    alpha: float = setting(0.0, "LoRA alpha; 0 means equal to the rank", low=0.0, high=1024.0)
    parameters: str = setting("xattn", "which layers the LoRA edits", choices=tuple(PARAMETER_SETS))
    negative_guidance: float = setting(1.0, "eta: how far past the target to push, target - eta (erased - target)", low=0.0, high=10.0)
    weighting: str = setting("uniform", "weight of noise levels in the loss: uniform, min-snr, or x0 (as the AP code)", choices=("uniform", "min-snr", "x0"))
    templates: tuple[str, ...] = setting(("{}",), "prompts in which the concept is erased; {} is the concept")
    batch_size: int = setting(2, "erased samples per update", low=1, high=256)
    preserve_batch: int = setting(2, "preserved samples per update", low=1, high=256)
    guidance: float = setting(3.0, "classifier-free guidance of the sampled trajectories", low=0.0, high=30.0)
    trajectories: int = setting(16, "trajectories sampled for each erased concept", low=1, high=4096)
    trajectory_steps: int = setting(20, "DDIM steps of an erased concept's trajectory; each state is a sample", low=2, high=200)
    candidate_steps: int = setting(8, "DDIM steps of a preserved concept's trajectory", low=2, high=200)
    refresh: float = setting(0.0, "share of samples drawn from a trajectory re-sampled with the current adapter; 1 is as published", low=0.0, high=1.0)
    pool_memory_mb: int = setting(1024, "memory for cached trajectories; fewer states are kept when it is short", low=1, high=1 << 20)
    preservation: str = setting("ranked", "how the preserved concept is found", choices=("none", "fixed", "random", "nearest", "pgd", "gumbel", "ranked"))
    preserve: tuple[str, ...] = setting((), "concepts to protect whatever the search finds; all that 'fixed' preserves ('a photo' if empty)")
    vocabulary: str = setting("english", "candidate concepts: english, objects, artists, clip, demo, or a text file")
    candidates: int = setting(1000, "K: candidates nearest to the erased concept", low=1, high=100_000)
    centers: int = setting(100, "candidates kept after thinning by k-means on the distance; 0 keeps all", low=0, high=100_000)
    similarity: str = setting("l2", "distance between concepts in text space", choices=("l2", "cosine"))
    search_every: int = setting(20, "R: updates between two rankings of the candidates ('ranked')", low=1, high=100_000)
    search_latents: int = setting(1, "shared latents on which candidates are ranked", low=1, high=64)
    search_top: int = setting(16, "most harmed candidates to draw from ('ranked'); nearest ones ('nearest')", low=1, high=10_000)
    temperature: float = setting(2.0, "Gumbel-softmax temperature", low=1e-3, high=100.0)
    search_learning_rate: float = setting(1e-2, "Adam step size of the Gumbel logits", low=0.0, high=10.0)
    pgd_steps: int = setting(1, "ascent steps of the continuous search per update (the paper's ablation: 100)", low=1, high=1000)
    pgd_rate: float = setting(1e-3, "step of the continuous search, relative to the embedding's norm", low=0.0, high=1.0)
    gradient_checkpointing: bool = setting(False, "recompute activations in the backward pass: slower, less memory")
    checkpoint_every: int = setting(100, "updates between two saved states", low=1, high=100_000)

    def validate(self) -> EraseConfig:
        """Return self, or raise ErasureError naming the first bad field."""
        for f in dataclasses.fields(self):
            _check_field(f, getattr(self, f.name))
        if not self.concepts:
            raise ErasureError("concept", "nothing to erase", "Name at least one concept.")
        for concept in self.concepts:
            _check_concept(concept)
        names = [" ".join(c.name.lower().split()) for c in self.concepts]
        if len(set(names)) < len(names):
            raise ErasureError("concept", "a concept is named twice", "Name each concept once.")
        if any("{}" not in t for t in self.templates) or not self.templates:
            raise ErasureError("templates", "a template has no {}", "Mark the place of the concept with {}.")
        return self

    def to_json(self) -> dict:
        """Plain JSON types; `from_json` gives the same config back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, data: Mapping) -> EraseConfig:
        data = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        concepts = tuple(Concept(c["name"], c["target"], tuple(c["exclude"])) for c in data["concepts"])
        return cls(**{**data, "concepts": concepts})

    def identity(self) -> dict:
        """The settings that decide the result; how often the state is saved does not."""
        data = self.to_json()
        data.pop("checkpoint_every")
        return data

    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


def fields_by_name() -> dict[str, dataclasses.Field]:
    """Name -> field of `EraseConfig`, with "help", "low", "high", "choices" and "advanced" in its metadata."""
    return {f.name: f for f in dataclasses.fields(EraseConfig)}


def field_type(f: dataclasses.Field) -> type:
    """int, float, str, bool or tuple of a config field."""
    hint = typing.get_type_hints(EraseConfig)[f.name]
    return tuple if isinstance(hint, types.GenericAlias) else hint


def _check_field(f: dataclasses.Field, value) -> None:
    kind, meta = field_type(f), f.metadata
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ErasureError(f.name, f"{value!r} is not a {kind.__name__}", f"It is: {meta['help']}.")
    low, high = meta["low"], meta["high"]
    if low is not None and not low <= value <= high:  # also refuses NaN
        raise ErasureError(f.name, f"{value} is out of range", f"Use {low} to {high}.")
    if meta["choices"] and value not in meta["choices"]:
        raise ErasureError(f.name, f"'{value}' is not known", f"Use one of {', '.join(meta['choices'])}.")


def _check_concept(concept: Concept) -> None:
    if not concept.name.strip():
        raise ErasureError("concept", "it is empty", "Say what to erase.")
    if concept.name.strip().lower() == concept.target.strip().lower():
        raise ErasureError("target", f"'{concept.target}' is the concept itself", "Choose another target, or leave it empty.")
