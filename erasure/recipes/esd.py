"""ESD-x, Erasing Concepts from Diffusion Models (Gandikota et al., ICCV 2023, arXiv 2303.07345), eq. 7: no preservation."""

from .base import Recipe

RECIPE = Recipe(
    name="esd",
    aliases=("none",),
    source="Gandikota et al., ICCV 2023, arXiv 2303.07345, eq. 7",
    summary="Push the concept to 2 d(0) - d(c) on the cross-attention layers and preserve nothing.",
    settings={"preservation": "none"},
)
