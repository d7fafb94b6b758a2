"""A recipe: a published method as a named composition of target, preservation and search, with the paper's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Attributes:
    name: what the user types.
    source: paper, venue, arXiv id.
    summary: one sentence on what it does.
    settings: fields of `EraseConfig` that differ from its defaults.
    aliases: other names it answers to.
    """

    name: str
    source: str
    summary: str
    settings: Mapping[str, object]
    aliases: tuple[str, ...] = ()
