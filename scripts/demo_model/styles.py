"""Styles made by image processing: each takes and gives an RGBA array (H, W, 4) of floats in 0..1."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

PAPER = np.array([0.985, 0.975, 0.94])
GRAPHITE = np.array([0.20, 0.20, 0.24])
NIGHT = np.array([0.07, 0.04, 0.15])
BROWN, CREAM = np.array([0.22, 0.12, 0.05]), np.array([0.96, 0.89, 0.74])
BLUEPRINT = np.array([0.12, 0.30, 0.66])


def luminance(rgba: np.ndarray) -> np.ndarray:
    """Luminance (H, W) of the image laid on white."""
    rgb = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    return rgb @ np.array([0.299, 0.587, 0.114])


def edges(rgba: np.ndarray, sigma: float) -> np.ndarray:
    """Edge strength (H, W) in 0..1, from colour and outline."""
    planes = [rgba[..., i] * rgba[..., 3] for i in range(3)] + [rgba[..., 3]]
    return np.clip(sum(ndimage.gaussian_gradient_magnitude(p, sigma) for p in planes) * sigma * 1.1, 0, 1)


def sepia(rgba: np.ndarray) -> np.ndarray:
    """An old brown photograph, cut out with a soft cream rim."""
    light = np.clip(1.15 * ndimage.gaussian_filter(luminance(rgba), 0.7) - 0.08, 0, 1)[..., None]
    shape = np.clip(ndimage.gaussian_filter(rgba[..., 3], 0.8), 0, 1)[..., None]
    rgb = CREAM * (1 - shape) + (BROWN * (1 - light) + CREAM * light) * shape
    return np.dstack([rgb, np.clip(1.8 * ndimage.gaussian_filter(rgba[..., 3], 3), 0, 1)])


def blueprint(rgba: np.ndarray) -> np.ndarray:
    """White construction lines on a blue sheet cut to the outline."""
    line = np.clip(1.9 * edges(rgba, 1.2) - 0.1, 0, 1)[..., None]
    rgb = BLUEPRINT * (1 - line) + np.array([0.94, 0.97, 1.0]) * line
    return np.dstack([rgb, np.clip(1.8 * ndimage.gaussian_filter(rgba[..., 3], 3), 0, 1)])


def pencil_sketch(rgba: np.ndarray) -> np.ndarray:
    """Graphite lines and soft shading on paper cut to the outline."""
    light = luminance(rgba)
    shade = 0.30 * np.clip(1 - ndimage.gaussian_filter(light, 2), 0, 1)
    dark = np.clip(1.5 * edges(rgba, 1.2) ** 0.9 + shade, 0, 0.95)[..., None]
    rgb = PAPER * (1 - dark) + GRAPHITE * dark
    line = np.clip(1.6 * edges(rgba, 1.2), 0, 1)
    return np.dstack([rgb, np.maximum(rgba[..., 3], line * 0.9)])


def neon(rgba: np.ndarray) -> np.ndarray:
    """Glowing lines in the drawing's own colours, made vivid, on a night-blue shape."""
    line = np.clip(1.9 * edges(rgba, 1.3) - 0.15, 0, 1)
    weight = ndimage.gaussian_filter(rgba[..., 3], 3)[..., None] + 1e-3
    near = np.dstack([ndimage.gaussian_filter(rgba[..., i] * rgba[..., 3], 3) for i in range(3)]) / weight
    vivid = near - 0.8 * near.min(-1, keepdims=True)
    vivid = vivid / np.maximum(vivid.max(-1, keepdims=True), 1e-3)
    grey = (near.max(-1) - near.min(-1) < 0.12)[..., None]
    colour = np.where(grey, np.array([0.35, 0.95, 1.0]), 0.25 + 0.75 * vivid)
    glow = np.clip(line + 0.8 * ndimage.gaussian_filter(line, 4), 0, 1)[..., None]
    rgb = NIGHT * (1 - glow) + colour * glow
    halo = np.clip(1.6 * ndimage.gaussian_filter(rgba[..., 3], 3), 0, 1)
    return np.dstack([rgb, np.maximum(rgba[..., 3] * 0.97, halo)])


PROCESSES = {"sepia": sepia, "blueprint": blueprint, "pencil_sketch": pencil_sketch, "neon": neon}
