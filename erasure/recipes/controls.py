"""Controls of adversarial preservation (Bui et al., NeurIPS 2024, arXiv 2410.15618, sec. 3.2): preservation without a search."""

from .base import Recipe

_SOURCE = "control for Bui et al., NeurIPS 2024, arXiv 2410.15618, sec. 3.2"

RECIPES = (
    Recipe("fixed", _SOURCE, "Preserve the neutral prompt 'a photo', or the words you name.", {"preservation": "fixed"}),
    Recipe("random", _SOURCE, "Preserve uniformly random candidates: the same vocabulary, no search.", {"preservation": "random"}),
    Recipe("nearest", _SOURCE, "Preserve the candidates nearest to the concept in text space.", {"preservation": "nearest"}),
)
