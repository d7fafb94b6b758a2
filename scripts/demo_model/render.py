"""Stage `render`: draw every concept in every style once, RGBA, and write `concepts.json`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from catalogue import IMAGE_SIZE, STAND_IN_SET, STYLES, catalogue
from common import log, write_json
from icons import draw, find_icon, fit, load_set
from styles import PROCESSES

MARGIN = 9


def render_one(icons_dir: str, set_name: str, icon_name: str, process: str | None) -> tuple[np.ndarray, bool]:
    """One RGBA picture (H, W, 4) in uint8, and whether the stand-in set had to draw it."""
    icon = find_icon(load_set(icons_dir, set_name), icon_name)
    stand_in = icon is None
    if stand_in:
        icon = find_icon(load_set(icons_dir, STAND_IN_SET), icon_name)
        if icon is None:
            raise SystemExit(f"catalogue: no set draws the icon {icon_name!r}")
    image = fit(draw(icon, 4 * IMAGE_SIZE), IMAGE_SIZE, MARGIN)
    if process is not None:
        rgba = PROCESSES[process](np.asarray(image) / 255.0)
        return (np.clip(rgba, 0, 1) * 255).round().astype(np.uint8), stand_in
    return np.asarray(image), stand_in


def run(icons_dir: str, work_dir: Path, demo_dir: Path) -> None:
    """Write `renders.npy` (concepts, styles, H, W, 4) in uint8 and `concepts.json`."""
    book = catalogue()
    concepts = book["concepts"]
    renders = np.zeros((len(concepts), len(STYLES), IMAGE_SIZE, IMAGE_SIZE, 4), np.uint8)
    stand_ins = []
    for i, concept in enumerate(concepts):
        for j, (style, (set_name, process)) in enumerate(STYLES.items()):
            renders[i, j], stand_in = render_one(icons_dir, set_name, concept["icon"], process)
            if stand_in:
                stand_ins.append([concept["name"], style])
    book["stand_ins"] = {"set": STAND_IN_SET, "pictures": stand_ins}
    np.save(work_dir / "renders.npy", renders)
    write_json(demo_dir / "concepts.json", book)
    log(f"render: {len(concepts)} concepts x {len(STYLES)} styles, stand-ins {stand_ins}")
