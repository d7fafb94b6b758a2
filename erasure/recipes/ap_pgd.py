"""AP in continuous space: the ablation of Bui et al. (NeurIPS 2024, arXiv 2410.15618), sec. 5, a free embedding found by PGD.

The embedding starts at the erased concept and is preserved on its latents, so a large lambda forbids the erasure itself.
"""

from .base import Recipe

RECIPE = Recipe(
    name="pgd",
    source="Bui et al., NeurIPS 2024, arXiv 2410.15618, sec. 5 (ablation)",
    summary="Adversarial preservation of a free embedding instead of a word; drifts to meaningless embeddings.",
    settings={"preservation": "pgd", "preserve_strength": 1.0},
)
