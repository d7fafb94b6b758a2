"""Every eraser by name. To add a published method: one file with a `RECIPE` and one entry in `_ALL`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..config import Concept, EraseConfig
from ..denoiser import Denoiser
from ..errors import ErasureError
from . import ap, ap_pgd, ap_ranked, controls, esd
from .base import Recipe

_ALL = (ap_ranked.RECIPE, ap.RECIPE, esd.RECIPE, *controls.RECIPES, ap_pgd.RECIPE)
RECIPES: dict[str, Recipe] = {r.name: r for r in _ALL}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name or alias.

    Raises:
        ErasureError: there is none.
    """
    for recipe in _ALL:
        if name == recipe.name or name in recipe.aliases:
            return recipe
    raise ErasureError("recipe", f"'{name}' is not a recipe", f"Use one of {', '.join(RECIPES)}.")


def configure(denoiser: Denoiser, recipe: str, concepts: Sequence[Concept | str], **overrides) -> EraseConfig:
    """A validated config: the dataclass defaults, then what suits the model (and styles, if only these are erased), then the recipe, then `overrides`.

    Raises:
        ErasureError: unknown recipe or setting, or a value out of range.
    """
    known = {f.name for f in dataclasses.fields(EraseConfig)}
    for name in overrides:
        if name not in known:
            raise ErasureError(name, "there is no such setting", f"Settings are: {', '.join(sorted(known))}.")
    found = find_recipe(recipe)
    named = tuple(Concept(c) if isinstance(c, str) else c for c in concepts)
    styles = denoiser.style_defaults if all(c.name.lower().split()[-1:] == ["style"] for c in named) else {}
    settings = {**denoiser.defaults, **styles, **found.settings, **overrides}
    return EraseConfig(concepts=named, recipe=found.name, **settings).validate()


__all__ = ["RECIPES", "Recipe", "configure", "find_recipe"]
