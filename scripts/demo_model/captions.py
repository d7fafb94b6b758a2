"""The caption grammar of the embedded model, written once: what the text tower and the UNet are trained on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from catalogue import BACKGROUNDS, FAMILIES, NEUTRAL, NO_ARTICLE, STYLES, catalogue

_CONCEPTS = catalogue()["concepts"]
_STYLES, _BACKGROUNDS = list(STYLES), list(BACKGROUNDS)
_MEDIA = ("a picture of", "a photo of", "an image of", "an emoji of", "an icon of", "a drawing of")


@dataclass(frozen=True)
class Caption:
    """The text, and which of its picture's labels it gives away (-1: does not say)."""

    text: str
    concept: int
    style: int
    background: int


def with_article(name: str) -> str:
    if name in NO_ARTICLE:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(concept: int, style: int, background: int, rng: random.Random) -> Caption:
    """A random caption of one picture: varied names, media, places of the style; group words; style or nothing only."""
    kind = rng.random()
    if kind < 0.04:
        return Caption(rng.choice(NEUTRAL), -1, -1, -1)
    if kind < 0.08:
        return Caption(rng.choice(("{} style", "in {} style", "a picture in {} style")).format(_STYLES[style]), -1, style, -1)
    row, named = _CONCEPTS[concept], kind > 0.13
    name = row["name"] if rng.random() < 0.8 or not row["synonyms"] else rng.choice(row["synonyms"])
    if not named:
        name = rng.choice(FAMILIES[row["family"]])
    text, says_style = _phrase(name, rng), rng.random() < 0.6
    if says_style:
        text = _styled(text, name, _STYLES[style], rng)
    says_background = rng.random() < 0.35
    if says_background:
        text += f" on a {_BACKGROUNDS[background]} background"
    return Caption(text, concept if named else -1, style if says_style else -1, background if says_background else -1)


def _phrase(name: str, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return with_article(name)
    if kind < 0.55:
        return name
    if kind < 0.65:
        return f"{name} {rng.choice(('emoji', 'icon'))}"
    return f"{rng.choice(_MEDIA)} {with_article(name)}"


def _styled(text: str, name: str, style: str, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.75:
        return f"{text} in {style} style"
    if kind < 0.9:
        return f"{style} style {name}"
    return f"{text}, {style}"
