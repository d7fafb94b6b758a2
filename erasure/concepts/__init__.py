"""Vocabularies and the concept space that adversarial preservation searches."""

from .space import ConceptSpace, build_concept_space, exclusions
from .vocabulary import BUILT_IN, NEUTRAL_PROMPTS, Word, load_vocabulary

__all__ = ["BUILT_IN", "NEUTRAL_PROMPTS", "ConceptSpace", "Word", "build_concept_space", "exclusions", "load_vocabulary"]
