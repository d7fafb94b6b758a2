"""What the concept picker asks: words of a vocabulary, neighbours of the concept to erase, what is left out and why."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from dataclasses import dataclass

from ..erasure.concepts import BUILT_IN, ConceptSpace
from ..erasure.concepts.space import bare
from ..erasure.concepts.vocabulary import english_synonyms, load_vocabulary
from ..erasure.errors import ErasureError
from .common import vocabulary_folder

_NODES, _ANSWER, _NEAR = 24, 60, 120
_loaded: OrderedDict[str, Loaded] = OrderedDict()


@dataclass(frozen=True)
class Loaded:
    """What is remembered of the last execution of one LoadConceptSpace; the encodings themselves are not kept alive.

    Attributes:
        near: neighbours of `concept`, nearest first.
        excluded: word -> why it is left out.
    """

    source: str
    words: tuple[str, ...]
    concept: str
    near: tuple[str, ...]
    excluded: dict[str, str]
    space: weakref.ref


def remember(node: str, source: str, space: ConceptSpace, concept: str = "", near: ConceptSpace | None = None) -> None:
    """Keep what the picker of `node` will ask for. `near` is the space without the concept, in order of distance."""
    words, excluded = (near.words[:_NEAR], dict(near.excluded)) if near is not None else ((), {})
    _loaded.pop(node, None)
    _loaded[node] = Loaded(source, space.words, concept, words, excluded, weakref.ref(space))
    while len(_loaded) > _NODES:
        _loaded.popitem(last=False)


def answer(node: str, query: str, vocabulary: str, concept: str) -> dict:
    """Words for the picker.

    Returns:
        words: [{"word", "left_out"}], at most 60: matches of `query`, else neighbours of `concept`, else the first words.
        kind: "matches", "neighbours" or "words". total: how many there are. encoded: whether the node has run with this
        vocabulary. note: why there are no neighbours, or whose they are.
    """
    query, concept = bare(query[:100]) if query.strip() else "", concept.strip()[:200]
    loaded = _loaded.get(node)
    if loaded is not None and vocabulary and loaded.source != vocabulary:
        loaded = None
    words, note = (loaded.words, "") if loaded else _unencoded(vocabulary)
    excluded = loaded.excluded if loaded and loaded.concept == concept else _namesakes(words, concept)
    if query:
        found, kind = _matches(words, query), "matches"
    else:
        found, note = _neighbours(loaded, concept) if loaded else ([], note)
        kind = "neighbours" if found else "words"
    total = len(found) if kind != "words" else len(words)
    found = found if kind != "words" else words
    rows = [{"word": w, "left_out": excluded.get(w, "")} for w in found[:_ANSWER]]
    left_out = [{"word": w, "left_out": why} for w, why in list(excluded.items())[:_ANSWER]]
    return {"kind": kind, "words": rows, "total": total, "size": len(words), "left_out": left_out, "encoded": loaded is not None, "note": note}


def _matches(words: tuple[str, ...], query: str) -> list[str]:
    """Words that contain `query`: those that are it, then those that start with it, then the others."""
    scored = []
    for i, word in enumerate(words):
        low = word.lower()
        if query in low:
            scored.append((0 if low == query else 1 if low.startswith(query) else 2 if f" {query}" in low else 3, i, word))
    return [word for *_, word in sorted(scored)]


def _neighbours(loaded: Loaded, concept: str) -> tuple[list[str], str]:
    """(neighbours of `concept`, a note): as the last execution found them, or measured now if the word is in the vocabulary."""
    if not concept:
        return [], "Fill in 'concept' to see its neighbours."
    if concept == loaded.concept:
        return list(loaded.near), ""
    space, wanted = loaded.space(), bare(concept)
    row = next((i for i, w in enumerate(loaded.words) if bare(w) == wanted), None)
    if space is None or row is None:
        return [], f"Run once to see the neighbours of '{concept}'."
    near = space.nearest(space.cond[[row]], _NEAR + 1).words
    named = _namesakes(near, concept)
    return [w for w in near if w not in named], ""


def _namesakes(words: tuple[str, ...], concept: str) -> dict[str, str]:
    """Words left out because they are the concept or a synonym; those that share its tokens only a run can tell."""
    wanted = bare(concept) if concept else ""
    synonyms = english_synonyms().get(wanted, ())
    return {w: f"is erased ('{concept}')" if bare(w) == wanted else f"synonym of '{concept}'" for w in words if bare(w) == wanted or bare(w) in synonyms}


def _unencoded(vocabulary: str) -> tuple[tuple[str, ...], str]:
    """Words of a vocabulary that no text encoder has seen yet."""
    note = "Run once to see neighbours."
    if vocabulary == "clip":
        return (), "Run once: these words come from the text encoder."
    if vocabulary in BUILT_IN:
        return tuple(w.text for w in load_vocabulary(vocabulary, None)), note
    folder = vocabulary_folder()
    if folder.is_dir() and vocabulary in {p.name for p in folder.iterdir() if p.suffix.lower() in (".txt", ".csv", ".tsv")}:
        try:
            return tuple(w.text for w in load_vocabulary(str(folder / vocabulary), None)), note
        except ErasureError as error:
            return (), str(error)
    return (), note
