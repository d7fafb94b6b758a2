"""Draw one icon of an iconify JSON package to an RGBA image."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image


@functools.lru_cache(maxsize=None)
def load_set(icons_dir: str, name: str) -> dict:
    """The `icons.json` of one set; `icons_dir` is the `node_modules` folder."""
    path = Path(icons_dir) / "@iconify-json" / name / "icons.json"
    if not path.is_file():
        raise SystemExit(f"--icons: {path} is missing; run the npm command of scripts/demo_model/README.md")
    return json.loads(path.read_text(encoding="utf-8"))


def find_icon(icon_set: dict, name: str) -> dict | None:
    """The icon's body and box, with aliases followed and the set's defaults filled in; None if it is not there."""
    flip = False
    while name not in icon_set["icons"]:
        alias = icon_set.get("aliases", {}).get(name)
        if alias is None:
            return None
        flip ^= bool(alias.get("hFlip"))
        name = alias["parent"]
    icon = icon_set["icons"][name]
    size = {key: icon.get(key, icon_set.get(key, 16)) for key in ("width", "height")}
    return {"body": icon["body"], "left": icon.get("left", 0), "top": icon.get("top", 0), "flip": flip, **size}


def draw(icon: dict, pixels: int, ink: str = "#000") -> Image.Image:
    """Rasterise to a `pixels` x `pixels` RGBA image; `ink` is what `currentColor` becomes."""
    box = f'{icon["left"]} {icon["top"]} {icon["width"]} {icon["height"]}'
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
           f'width="{pixels}" height="{pixels}" viewBox="{box}" color="{ink}">'
           f'{icon["body"].replace("currentColor", ink)}</svg>')
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg))
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if icon["flip"] else image


def fit(image: Image.Image, size: int, margin: int) -> Image.Image:
    """Crop to what is drawn, scale it into a square of `size` with `margin` on every side, centred."""
    alpha = np.asarray(image)[..., 3]
    ys, xs = np.nonzero(alpha > 8)
    image = image.crop((int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1))
    scale = (size - 2 * margin) / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    canvas = Image.new("RGBA", (size, size))
    canvas.paste(small, ((size - width) // 2, (size - height) // 2))
    return canvas
