"""AP by ranking: the minimax of Bui et al. (NeurIPS 2024, arXiv 2410.15618), eq. 6, its inner maximum found by measuring it.

Every R updates all candidates are ranked by the harm the current adapter does them on shared latents, and the
preserved batch is drawn from the top (this project).
"""

from .base import Recipe

RECIPE = Recipe(
    name="ap-ranked",
    source="Bui et al., NeurIPS 2024, arXiv 2410.15618, eq. 6; search by ranking, this project",
    summary="Adversarial preservation that measures which concepts the edit harms most, and preserves those.",
    settings={"preservation": "ranked"},
)
