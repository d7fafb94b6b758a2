"""Scores on the embedded model: what the judge sees in same-seed pictures before and after an erasure.

A unit is an object concept or a style. An erased unit should no longer be recognised; every kept unit should be
recognised as often as before. Pictures that show an erased unit never count for a kept one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..adapter import ErasureAdapter
from ..concepts import build_concept_space, exclusions
from ..concepts.space import Progress, bare
from ..concepts.vocabulary import DEMO_CONCEPTS
from ..denoiser import Denoiser
from ..errors import ErasureError
from ..files import cache_folder, write_json
from ..probe import probe
from ..sampling import generate
from .judge import Judge

STYLE_SUFFIX = " style"


@dataclass(frozen=True)
class Plan:
    """Pictures to draw: N prompts with the object and the style each asks for, and N seeds."""

    prompts: tuple[str, ...]
    objects: tuple[str, ...]
    styles: tuple[str, ...]
    seeds: tuple[int, ...]

    def key(self, *more: object) -> str:
        return hashlib.sha256(json.dumps([self.prompts, self.seeds, more]).encode()).hexdigest()[:24]


def demo_plan(images: int, focus: Sequence[str] = (), focus_images: int = 14, seed: int = 1000) -> Plan:
    """`images` pictures of every object, styles in turn; `focus_images` of the objects in `focus`."""
    data = json.loads(DEMO_CONCEPTS.read_text(encoding="utf-8"))
    captions = {s["name"]: s["caption"] for s in data["styles"]}
    styles, rows = list(captions), []
    for i, concept in enumerate(data["concepts"]):
        name = concept["name"]
        for k in range(max(images, focus_images) if name in focus else images):
            style = styles[(i + k) % len(styles)]
            rows.append((captions[style].format(with_article(name, data["no_article"])), name, style, seed + k))
    return Plan(*map(tuple, zip(*rows)))


def demo_units() -> dict[str, str]:
    """What the embedded model can draw: name or synonym -> unit. Units stand for themselves; a style's ends in " style"."""
    data = json.loads(DEMO_CONCEPTS.read_text(encoding="utf-8"))
    units = {u: u for u in [c["name"] for c in data["concepts"]] + [s["name"] + STYLE_SUFFIX for s in data["styles"]]}
    return units | {synonym: c["name"] for c in data["concepts"] for synonym in c["synonyms"]}


def unit_of(name: str) -> str:
    """The object or style that an erased prompt means: "a Fuel pump" -> "fuel pump", "ink" -> "ink style"; itself if none."""
    units = demo_units()
    return units.get(bare(name)) or units.get(bare(name) + STYLE_SUFFIX) or name


def with_article(name: str, no_article: Sequence[str]) -> str:
    """"cat" -> "a cat", "axe" -> "an axe", "french fries" as it is."""
    if name in no_article:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def recognised(denoiser: Denoiser, judge: Judge, plan: Plan, steps: int, guidance: float, progress: Progress | None = None) -> Tensor:
    """(N, 2) booleans: was the object, was the style of each picture recognised (top-1), as the network stands now."""
    chunk, seen = 128, []
    for i in range(0, len(plan.prompts), chunk):
        part = slice(i, i + chunk)
        images = generate(denoiser, list(plan.prompts[part]), list(plan.seeds[part]), steps=steps, guidance=guidance,
                          progress=(lambda d, _, i=i: progress(i + d, len(plan.prompts))) if progress else None)
        scores = judge.classify(images)
        objects = torch.tensor([scores.concepts.index(o) for o in plan.objects[part]])
        styles = torch.tensor([scores.styles.index(s) for s in plan.styles[part]])
        seen.append(torch.stack([scores.concept_probs.argmax(1) == objects, scores.style_probs.argmax(1) == styles], 1))
    return torch.cat(seen)


def recognised_before(denoiser: Denoiser, judge: Judge, plan: Plan, steps: int, guidance: float, progress: Progress | None = None) -> Tensor:
    """`recognised` of the base model, kept on disk because it is the same for every adapter."""
    path = cache_folder() / "baselines" / f"{plan.key(_looks(denoiser, judge), steps, guidance)}.json"
    try:
        before = torch.tensor(json.loads(path.read_text()), dtype=torch.bool)
        if before.shape == (len(plan.prompts), 2):
            return before
    except (OSError, ValueError, TypeError):
        pass  # none yet, or damaged
    before = recognised(denoiser, judge, plan, steps, guidance, progress)
    try:
        write_json(path, before.int().tolist())
    except ErasureError:
        pass  # a cache that cannot be written costs time, never the result
    return before


def _looks(denoiser: Denoiser, judge: Judge) -> str:
    """Identifies whatever decides what the judge sees: network, text encoder, decoder, number format, judge."""
    probe = torch.linspace(-1, 1, math.prod(denoiser.latent_shape)).view(1, *denoiser.latent_shape).to(denoiser.device)
    tensors = [denoiser.encode(["a photo of a cat"]).flat(), denoiser.decode(probe), *judge.state_dict().values()]
    digest = hashlib.sha256(f"{denoiser.base_hash()}{denoiser.dtype}{denoiser.device}".encode())
    for tensor in tensors:
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def evaluate(
    denoiser: Denoiser,
    adapter: ErasureAdapter,
    judge: Judge,
    *,
    strength: float = 1.0,
    images: int = 2,
    steps: int = 20,
    guidance: float = 4.0,
    progress: Progress | None = None,
) -> dict:
    """Accuracies before and after, for erased and kept units; plain JSON types, shares in 0..1.

    Args:
        images: pictures per object; an erased object gets 14, two in each style.

    Returns:
        {"erased": ..., "kept": ..., "worst10": ..., "nearest10": ..., "units": {unit: [before, after]}, ...}; a drop is
        accuracy before minus accuracy after, averaged over units.
    """
    erased = [unit_of(c["name"]) for c in adapter.card.get("concepts", [])]
    plan = demo_plan(images, focus=erased)
    before = recognised_before(denoiser, judge, plan, steps, guidance, progress)
    with adapter.on(denoiser, strength):
        after = recognised(denoiser, judge, plan, steps, guidance, progress)
    harm = lambda kept: probe(denoiser, adapter, kept, strength=strength, latents=2).values  # noqa: E731
    return summarise(denoiser, plan, before, after, erased, harm) | {"images_per_concept": images, "steps": steps, "guidance": guidance, "strength": strength}


def summarise(
    denoiser: Denoiser, plan: Plan, before: Tensor, after: Tensor, erased: Sequence[str], harm: Callable[[list[str]], Mapping[str, float]]
) -> dict:
    """Scores from (N, 2) recognitions before and after.

    Args:
        harm: kept units -> the sensitivity of each.

    Which 10 suffer most is decided by their sensitivity, not by the same pictures that are then scored: of 142 units
    with a picture or two each, some lose theirs by chance.
    """
    names = sorted(set(plan.objects)) + [s + STYLE_SUFFIX for s in sorted(set(plan.styles))]
    dropped = exclusions(denoiser, names, erased)
    units: dict[str, list[float]] = {}
    for name in names:
        rows, column = _pictures_of(plan, name, dropped)
        if rows:
            units[name] = [round(float(t[rows, column].float().mean()), 4) for t in (before, after)]
    kept = {n: v for n, v in units.items() if n not in dropped}
    sensitivity = harm(list(kept))
    harmed = sorted(kept, key=lambda n: -sensitivity[n])
    near = build_concept_space(denoiser, list(kept), erased=erased, top_k=10).words if erased else ()
    return {
        "erased": {n: {"before": units[n][0], "after": units[n][1]} for n in erased if n in units},
        "kept": _mean(kept, list(kept)), "worst10": _mean(kept, harmed[:10]), "nearest10": _mean(kept, list(near)),
        "sensitivity": {"kept": _average(sensitivity, harmed), "worst10": _average(sensitivity, harmed[:10])},
        "unknown": [n for n in erased if n not in units], "excluded": {n: r for n, r in dropped.items()}, "units": units,
    }


def _pictures_of(plan: Plan, name: str, dropped: dict[str, str]) -> tuple[list[int], int]:
    """Rows that show the unit, and which recognition counts; a kept unit never counts in a picture of an erased one."""
    is_style = name.endswith(STYLE_SUFFIX)
    rows = []
    for i, (obj, style) in enumerate(zip(plan.objects, plan.styles)):
        here, other = (style + STYLE_SUFFIX, obj) if is_style else (obj, style + STYLE_SUFFIX)
        if here == name and (name in dropped or other not in dropped):
            rows.append(i)
    return rows, int(is_style)


def _average(values: dict[str, float], names: Sequence[str]) -> float:
    return float(f"{sum(values[n] for n in names) / max(1, len(names)):.4g}")


def _mean(units: dict[str, list[float]], names: list[str]) -> dict:
    before = sum(units[n][0] for n in names) / max(1, len(names))
    after = sum(units[n][1] for n in names) / max(1, len(names))
    return {"before": round(before, 4), "after": round(after, 4), "drop": round(before - after, 4), "units": names}
