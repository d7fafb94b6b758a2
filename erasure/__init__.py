"""Concept erasure for text-to-image diffusion models; the result is an ordinary LoRA file. See README.md for the house."""

from .version import __version__

__all__ = ["__version__"]
