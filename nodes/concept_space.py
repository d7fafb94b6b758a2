"""LoadConceptSpace: a vocabulary encoded once, from which training finds what it must protect."""

from comfy_api.latest import io

from ..erasure.concepts import BUILT_IN, build_concept_space, exclusions
from ..erasure.concepts.vocabulary import check_source
from ..erasure.config import fields_by_name
from ..erasure.errors import ErasureError
from ..erasure.hosts.comfy import ComfyTextEncoder
from .common import CATEGORY, WIDGETS, ConceptSpaceSocket, SpaceChoice, check_choice, lines, stages, vocabulary_folder, widget
from .search import remember

OWN = "own words"


def choices() -> list[str]:
    """Built-in vocabularies, the node's own list, and the user's files."""
    folder = vocabulary_folder()
    files = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in (".txt", ".csv", ".tsv")) if folder.is_dir() else []
    return [*BUILT_IN, OWN, *files]


class LoadConceptSpace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LoadConceptSpace",
            display_name="Load Concept Space",
            category=CATEGORY,
            description="The concepts that must survive an erasure. Training looks among them for the ones it harms and protects those. "
            "Put text files (one word a line) into user/concept_erasure/vocabularies to find them here.",
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model you will edit."),
                io.Combo.Input("vocabulary", options=choices(), default="english", tooltip="Where the concepts come from: 3,000 English words, objects only, names of artists, "
                               "the text encoder's own words, the demo model's concepts, the list below, or a file of yours."),
                io.String.Input("own_words", multiline=True, default="", tooltip="Your own concepts, one a line; used alone with 'own words', else added to the vocabulary."),
                io.String.Input("concept", default="", tooltip="What you will erase. Only needed to show its neighbours here; it is never protected."),
                io.String.Input("protect", multiline=True, default="", tooltip="Concepts to protect in any case, one a line, whatever the search finds."),
                io.String.Input("exclude", multiline=True, default="", tooltip="Concepts that may suffer, one a line: never protected. Synonyms of the erased concept are left out anyway."),
                widget("candidates", display_name=WIDGETS["candidates"]),
                widget("centers", display_name=WIDGETS["centers"]),
            ],
            outputs=[
                ConceptSpaceSocket.Output(display_name="concept_space", tooltip="Wire into Adversarial Erase Train and Sensitivity Probe."),
                io.String.Output(display_name="summary", tooltip="How many concepts, the nearest ones, what was left out and why."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, vocabulary, own_words, candidates, centers):
        if vocabulary not in choices():
            return f"vocabulary: '{vocabulary}' is not there. Choose another, or put the file into {vocabulary_folder()}."
        if vocabulary == OWN and own_words is not None and not lines(own_words):
            return "own_words: the list is empty. Write one concept a line, or choose another vocabulary."
        for name, value in (("candidates", candidates), ("centers", centers)):
            meta = fields_by_name()[name].metadata
            if value is not None and not meta["low"] <= value <= meta["high"]:
                return f"{WIDGETS[name]}: {value} is out of range. Use {meta['low']} to {meta['high']}."
        return True

    @classmethod
    def fingerprint_inputs(cls, vocabulary, **_):
        path = vocabulary_folder() / str(vocabulary)
        stat = path.stat() if vocabulary not in (*BUILT_IN, OWN) and path.is_file() else None
        return f"{stat.st_mtime_ns}-{stat.st_size}" if stat else ""

    @classmethod
    def execute(cls, clip, vocabulary, own_words, concept, protect, exclude, candidates, centers):
        check_choice("vocabulary", vocabulary, choices())
        encoder, progress = ComfyTextEncoder(clip), stages(cls.hidden.unique_id)
        protected, excluded, mine = lines(protect), lines(exclude), lines(own_words)
        hit = exclusions(encoder, protected, [concept] if concept.strip() else [], excluded)
        if hit:
            word, reason = next(iter(hit.items()))
            raise ErasureError("protect", f"'{word}' cannot be protected: {reason}", "Remove it from one of the two lists.")
        space = build_concept_space(encoder, _source(vocabulary, mine), progress=progress("encoding concepts"))
        if vocabulary != OWN and mine:
            space = space.with_words(encoder, mine)
        choice = SpaceChoice(space, vocabulary, excluded, protected, {"candidates": candidates, "centers": centers})
        summary = _summary(encoder, choice, concept.strip(), candidates, str(cls.hidden.unique_id))
        return io.NodeOutput(choice, summary, ui={"text": (summary,)})


def _source(vocabulary: str, mine: tuple[str, ...]):
    if vocabulary == OWN:
        if not mine:
            raise ErasureError("own_words", "the list is empty", "Write one concept a line, or choose another vocabulary.")
        return mine
    if vocabulary in BUILT_IN:
        return vocabulary
    path = str(vocabulary_folder() / vocabulary)
    check_source(path)
    return path


def _summary(encoder: ComfyTextEncoder, choice: SpaceChoice, concept: str, top_k: int, node: str) -> str:
    space = choice.space
    remember(node, choice.source, space)
    parts = [f"{len(space)} concepts from '{choice.source}'"]
    if concept:
        left = space.without(encoder, [concept], choice.exclude)
        near = left.nearest(encoder.encode([concept]), min(top_k, 120))
        remember(node, choice.source, space, concept, near)
        parts.append(f"nearest to '{concept}': {', '.join(near.words[:12])}")
        for word, reason in list(left.excluded.items())[:12]:
            parts.append(f"left out: {word} ({reason})")
    elif choice.exclude:
        parts.append(f"left out: {', '.join(choice.exclude)}")
    if choice.protect:
        parts.append(f"always protected: {', '.join(choice.protect)}")
    return "\n".join(parts)
