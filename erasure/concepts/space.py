"""The concept space: a vocabulary encoded once, without what is erased, narrowed to the neighbourhood.

Adversarial preservation (Bui et al. 2024) searches R minus E; the published code leaves E inside R. Here the
erased words, words with the same tokens and their synonyms never become candidates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..denoiser import Cond, TextEncoder
from ..errors import ErasureError
from ..files import cache_folder, write_safetensors
from .vocabulary import Word, english_synonyms, load_vocabulary

Progress = Callable[[int, int], None]
_CACHE_FROM = 200  # fewer words encode faster than a file is written
_STEP = 64


@dataclass(frozen=True)
class ConceptSpace:
    """Candidate concepts with their encodings.

    Attributes:
        words: N candidates.
        cond: their encodings, N rows on the CPU.
        excluded: word -> why it is not a candidate.
        distance: (N,) distance to the erased concept, where `nearest` was used.
    """

    words: tuple[str, ...]
    cond: Cond
    excluded: Mapping[str, str] = field(default_factory=dict)
    distance: Tensor | None = None

    def __len__(self) -> int:
        return len(self.words)

    def select(self, rows: Sequence[int]) -> ConceptSpace:
        rows = list(rows)
        distance = None if self.distance is None else self.distance[rows]
        return ConceptSpace(tuple(self.words[i] for i in rows), self.cond[rows], self.excluded, distance)

    def without(self, encoder: TextEncoder, erased: Sequence[str], extra: Sequence[str] = ()) -> ConceptSpace:
        """Drop the erased concepts, what is called the same, and the words of `extra`; remembers why."""
        reasons = exclusions(encoder, self.words, erased, extra)
        kept = self.select([i for i, w in enumerate(self.words) if w not in reasons])
        if not len(kept):
            raise ErasureError("vocabulary", "nothing is left after excluding the erased concept and its synonyms", "Use a larger vocabulary.")
        return ConceptSpace(kept.words, kept.cond, {**self.excluded, **reasons}, kept.distance)

    def with_words(self, encoder: TextEncoder, words: Sequence[str]) -> ConceptSpace:
        """Further candidates added, unless they are there already."""
        new = [w for w in dict.fromkeys(words) if w not in self.words]
        if not new:
            return self
        return ConceptSpace((*self.words, *new), Cond.cat([self.cond, _encode(encoder, new, None)]), self.excluded)

    def nearest(self, target: Cond, top_k: int, similarity: str = "l2") -> ConceptSpace:
        """The `top_k` candidates nearest to any row of `target`, nearest first.

        Args:
            similarity: "l2" (the published code) or "cosine" (the paper), on the flattened text-encoder output.
        """
        if similarity not in ("l2", "cosine"):
            raise ErasureError("similarity", f"'{similarity}' is not a similarity", "Use l2 or cosine.")
        theirs, normal, parts = target.to("cpu").flat(), torch.nn.functional.normalize, []
        for i in range(0, len(self), 256):  # a large vocabulary in float32 would need gigabytes
            mine = self.cond[slice(i, i + 256)].flat()
            parts.append(1 - (normal(mine) @ normal(theirs).T).amax(1) if similarity == "cosine" else torch.cdist(mine, theirs).amin(1))
        distance = torch.cat(parts)
        order = distance.argsort(stable=True)[:top_k].tolist()
        space = self.select(order)
        return ConceptSpace(space.words, space.cond, self.excluded, distance[order])

    def thinned(self, centers: int) -> ConceptSpace:
        """At most `centers` words spread over the distance from the target, by k-means on the distance (as published)."""
        if self.distance is None or centers >= len(self):
            return self
        from scipy.cluster.vq import kmeans2  # imported here: half a second that most commands do not need

        points = self.distance.double().numpy()[:, None]
        means, _ = kmeans2(points, centers, minit="++", seed=0, missing="warn")
        rows = sorted({int(np.abs(points - m).argmin()) for m in means.ravel()})
        return self.select(rows)


def build_concept_space(
    encoder: TextEncoder,
    vocabulary: str | Sequence[str] = "english",
    *,
    erased: Sequence[str] = (),
    exclude: Sequence[str] = (),
    top_k: int = 0,
    similarity: str = "l2",
    centers: int = 0,
    progress: Progress | None = None,
) -> ConceptSpace:
    """Vocabulary -> encoded, without the erased concepts, narrowed to `top_k` nearest, thinned to `centers`.

    Args:
        top_k, centers: 0 keeps all.
        progress: called with (words encoded, words in all).
    """
    words = [w.text for w in load_vocabulary(vocabulary, encoder)]
    space = ConceptSpace(tuple(words), encode_cached(encoder, words, progress))
    if erased or exclude:
        space = space.without(encoder, erased, exclude)
    if erased and top_k:
        space = space.nearest(encoder.encode(list(erased)), top_k, similarity)
        if centers:
            space = space.thinned(centers)
    return space


def exclusions(encoder: TextEncoder, words: Iterable[str], erased: Sequence[str], extra: Sequence[str] = ()) -> dict[str, str]:
    """word -> why it must not be preserved while `erased` is erased."""
    synonyms, named = english_synonyms(), {}
    for e in erased:
        named |= {s: f"synonym of '{e}'" for s in synonyms.get(bare(e), ())}
    named |= {bare(e): f"is erased ('{e}')" for e in erased}
    tokens = {encoder.tokenize(form): name for name in named for form in (name, *_plurals(name))}
    mine = {bare(x): "excluded by you" for x in extra}
    reasons = {}
    for word in words:
        found = named.get(bare(word)) or mine.get(bare(word))
        if found is None:
            ids = encoder.tokenize(word)
            found = next((f"contains the tokens of '{name}'" for part, name in tokens.items() if part and _contains(ids, part)), None)
        if found is not None:
            reasons[word] = found
    return reasons


def bare(text: str) -> str:
    """Lower case, single spaces, no leading article: "A  Fuel pump" -> "fuel pump"."""
    words = text.lower().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def _plurals(word: str) -> tuple[str, ...]:
    return (word + "s", word + "es", word[:-1] + "ies" if word.endswith("y") else word + "s")


def _contains(ids: tuple[int, ...], part: tuple[int, ...]) -> bool:
    return any(ids[i : i + len(part)] == part for i in range(len(ids) - len(part) + 1))


def encode_cached(encoder: TextEncoder, words: Sequence[str], progress: Progress | None = None) -> Cond:
    """Encode once, on the CPU in float16; large vocabularies are kept on disk by content hash."""
    if len(words) < _CACHE_FROM:
        return _encode(encoder, words, progress)
    path = cache_folder() / "concepts" / f"{_content_hash(encoder, words)}.safetensors"
    if path.is_file():
        try:
            return Cond(load_file(path))
        except (SafetensorError, OSError):
            pass  # damaged cache: encode again and replace it
    cond = _encode(encoder, words, progress)
    try:
        write_safetensors(path, cond.tensors, {"words": json.dumps(list(words))})
    except ErasureError:
        pass  # a cache that cannot be written costs time, never the result
    return cond


def _encode(encoder: TextEncoder, words: Sequence[str], progress: Progress | None) -> Cond:
    whole: dict[str, Tensor] = {}
    for i in range(0, len(words), _STEP):
        for name, part in encoder.encode(words[i : i + _STEP]).tensors.items():
            whole.setdefault(name, torch.empty((len(words), *part.shape[1:]), dtype=torch.float16))  # joining parts would need it twice
            whole[name][i : i + len(part)] = part
        if progress:
            progress(min(i + _STEP, len(words)), len(words))
    return Cond(whole)


def _content_hash(encoder: TextEncoder, words: Sequence[str]) -> str:
    """Text encoder (by what it makes of a fixed prompt) and words, so that any change of either misses the cache."""
    digest = hashlib.sha256(json.dumps(list(words)).encode())
    for name, tensor in sorted(encoder.encode(["a photo of a cat and a dog"]).tensors.items()):
        digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()


__all__ = ["ConceptSpace", "Word", "build_concept_space", "encode_cached", "exclusions"]
