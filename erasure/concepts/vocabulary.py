"""Vocabularies R: where candidate concepts come from.

`english` - about 3,000 common English words and picturable things (data/README.md has the provenance);
`objects` - those of them that are things, animals, plants or food; `artists` - names of painters and illustrators;
`clip` - whole words of the model's own tokenizer; `demo` - the embedded model's concepts; or a text file,
a CSV / TSV with a `word` column, or a list.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..denoiser import TextEncoder
from ..errors import ErasureError

DATA = Path(__file__).parent / "data"
DEMO_CONCEPTS = Path(__file__).parent.parent / "demo" / "concepts.json"
BUILT_IN = ("english", "objects", "artists", "clip", "demo")
_THINGS = {"artifact", "animal", "food", "object", "plant", "body"}  # WordNet's files of what can be pointed at
NEUTRAL_PROMPTS = ("", "a photo", "a picture", "an image")
MAX_FILE_BYTES = 8 << 20


@dataclass(frozen=True)
class Word:
    """One candidate concept, with what else it is called and its family."""

    text: str
    category: str = ""
    synonyms: tuple[str, ...] = ()


def load_vocabulary(source: str | Path | Sequence[str], encoder: TextEncoder) -> tuple[Word, ...]:
    """The words of a vocabulary, without duplicates, in its own order.

    Raises:
        ErasureError: unknown name, unreadable, empty or oversized file.
    """
    if isinstance(source, (str, Path)):
        name = str(source)
        if name == "english":
            words = _read_table(DATA / "english.tsv")
        elif name == "objects":
            words = tuple(w for w in _read_table(DATA / "english.tsv") if w.category in _THINGS)
        elif name == "artists":
            words = _read_file(DATA / "artists.txt")
        elif name == "demo":
            words = demo_words()
        elif name == "clip":
            words = tuple(Word(text) for text in encoder.vocabulary())
        else:
            words = _read_file(Path(source))
    else:
        words = tuple(Word(text) for text in source)
    unique = {w.text.strip().lower(): w for w in words if w.text.strip()}
    if not unique:
        raise ErasureError("vocabulary", "it has no words", f"Use {', '.join(BUILT_IN)} or give at least one word.")
    return tuple(unique.values())


@cache
def demo_words() -> tuple[Word, ...]:
    """The embedded model's object concepts and styles."""
    data = json.loads(DEMO_CONCEPTS.read_text(encoding="utf-8"))
    objects = tuple(Word(c["name"], c["family"], tuple(c["synonyms"])) for c in data["concepts"])
    return objects + tuple(Word(f"{s['name']} style", "style") for s in data["styles"])


@cache
def english_synonyms() -> dict[str, frozenset[str]]:
    """Word -> what else it is called, both ways round, from the English vocabulary and the embedded concepts."""
    groups: dict[str, set[str]] = {}
    for word in (*_read_table(DATA / "english.tsv"), *demo_words()):
        for other in word.synonyms:
            groups.setdefault(word.text.lower(), set()).add(other.lower())
            groups.setdefault(other.lower(), set()).add(word.text.lower())
    return {word: frozenset(others) for word, others in groups.items()}


def check_source(source: str) -> None:
    """Refuse a vocabulary that is neither built in nor a file of reasonable size, without reading it.

    Raises:
        ErasureError: so it is.
    """
    path = Path(source)
    if source in BUILT_IN:
        return
    if not path.is_file():
        raise ErasureError("vocabulary", f"'{path}' is neither a built-in vocabulary nor a file", f"Use {', '.join(BUILT_IN)} or an existing text file.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ErasureError("vocabulary", f"'{path.name}' is over {MAX_FILE_BYTES >> 20} MiB", "Give a list of words, one a line.")


def _read_file(path: Path) -> tuple[Word, ...]:
    check_source(str(path))
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            return _read_table(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, csv.Error) as error:
        raise ErasureError("vocabulary", f"'{path.name}' is not UTF-8 text", "Save it as plain UTF-8 text, one word a line.") from error
    return tuple(Word(line.strip()) for line in lines if line.strip() and not line.startswith("#"))


def _read_table(path: Path) -> tuple[Word, ...]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    if not rows or "word" not in rows[0]:
        raise ErasureError("vocabulary", f"'{path.name}' has no column named 'word'", "Add a header line with a 'word' column.")
    return tuple(
        Word(row["word"] or "", row.get("category") or "", tuple(s.strip() for s in (row.get("synonyms") or "").split(",") if s.strip()))
        for row in rows
    )
