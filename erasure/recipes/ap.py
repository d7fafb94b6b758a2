"""AP, Erasing Undesirable Concepts with Adversarial Preservation (Bui et al., NeurIPS 2024, arXiv 2410.15618), alg. 1.

The minimax of the paper's eq. 6 with the published settings: target 2 d(0) - d(c), K = 1000 nearest words thinned
to 100 by distance, hard Gumbel-softmax at temperature 2, Adam 1e-2 on the logits, search and erase steps
alternating, loss in x0 space. Beyond the publication: latents and noise levels are aligned, the erased concept is
never a candidate, lambda is exposed.
"""

from .base import Recipe

RECIPE = Recipe(
    name="ap",
    source="Bui et al., NeurIPS 2024, arXiv 2410.15618, alg. 1",
    summary="Adversarial preservation as published: a Gumbel-softmax choice of the concept to preserve, moved by gradient ascent.",
    settings={"preservation": "gumbel", "weighting": "x0", "candidates": 1000, "centers": 100, "temperature": 2.0, "search_learning_rate": 1e-2},
)
