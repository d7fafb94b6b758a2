"""Photograph the nodes for their help pages: `python scripts/help_pictures.py --server http://127.0.0.1:8188`.

Runs the example workflows in Chromium (see requirements-test.txt) and writes web/docs/images/*.png, and the thumbnail of
the one example that needs a checkpoint: a picture of its graph. Give it a ComfyUI of its own: it changes settings there.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "comfy"))

from pages import Tab, chromium  # noqa: E402

EXAMPLES, IMAGES = ROOT / "example_workflows", ROOT / "web" / "docs" / "images"
SHOWN = {  # example -> the nodes to photograph once it has run
    "see_the_damage": ("SensitivityProbe",), "erase_an_object": ("LoadConceptSpace", "AdversarialEraseTrain", "BeforeAfter"), "stack_two_erasers": ("ApplyErasedLoRA",),
}
VIEW, WIDE = {"width": 1500, "height": 1250}, {"width": 2600, "height": 2000}
EDGE, ABOVE = 14, 2  # pixels around a node; above it is its badge
LEFT, TOP = 200, 160  # where on the canvas what is photographed begins, clear of menus
_FIT = """
async ([x, y, edge, width, height]) => {
  await app.extensionManager.setting.set('LiteGraph.Canvas.MinFontSizeForLOD', 0);
  const boxes = app.graph._nodes.map((n) => [n.pos[0], n.pos[1] - LiteGraph.NODE_TITLE_HEIGHT, n.pos[0] + n.size[0], n.pos[1] + n.size[1]]);
  const [left, top] = [0, 1].map((i) => Math.min(...boxes.map((b) => b[i])) - edge);
  const [right, bottom] = [2, 3].map((i) => Math.max(...boxes.map((b) => b[i])) + edge);
  const scale = Math.min(1, width / (right - left), height / (bottom - top));
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [x / scale - left, y / scale - top];
  app.canvas.setDirty(true, true);
  return [(right - left) * scale, (bottom - top) * scale];
}
"""
_PLACE = """
([x, y, type]) => {
  const node = app.graph._nodes.find((n) => n.type === type), title = LiteGraph.NODE_TITLE_HEIGHT;
  app.canvas.deselectAll?.();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [x - node.pos[0], y - node.pos[1]];
  app.canvas.setDirty(true, true);
  return [node.size[0], node.size[1], title];
}
"""


def open_example(tab: Tab, name: str) -> None:
    tab.load((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"), {})


def run(tab: Tab) -> None:
    """Queue the graph and wait until nothing is left to do."""
    idle = "async () => { const q = await (await app.api.fetchApi('/queue')).json(); return !q.queue_running.length && !q.queue_pending.length }"
    tab.queue()
    tab.page.wait_for_timeout(3000)
    tab.until(lambda: tab.page.evaluate(idle), 900, "the end of the run")
    tab.page.wait_for_timeout(2000)


def photograph(tab: Tab, kind: str) -> None:
    """The whole node, title and panel, at the size it has in the example."""
    width, height, title = tab.page.evaluate(_PLACE, [LEFT, TOP, kind])
    tab.page.wait_for_timeout(2500)
    picture = tab.page.screenshot(clip={"x": LEFT - EDGE, "y": TOP - title - ABOVE + _top(tab), "width": width + 2 * EDGE, "height": height + title + ABOVE + EDGE})
    (IMAGES / f"{kind}.png").write_bytes(picture)
    print(f"wrote {kind}.png", flush=True)


def _top(tab: Tab) -> float:
    """Where the canvas begins in the window."""
    return tab.page.evaluate("() => app.canvas.canvas.getBoundingClientRect().top")


def thumbnail(tab: Tab, name: str) -> None:
    """The whole graph as the example's thumbnail."""
    from PIL import Image

    open_example(tab, name)
    tab.page.set_viewport_size(WIDE)
    width, height = tab.page.evaluate(_FIT, [LEFT, TOP, EDGE, WIDE["width"] - 2 * LEFT, WIDE["height"] - 2 * TOP])
    tab.page.wait_for_timeout(2500)
    shot = tab.page.screenshot(clip={"x": LEFT, "y": TOP + _top(tab), "width": width, "height": height})
    tab.page.set_viewport_size(VIEW)
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.thumbnail((900, 900), Image.LANCZOS)
    picture.save(EXAMPLES / f"{name}.jpg", quality=88)
    print(f"wrote {name}.jpg", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--only", nargs="*", default=[*SHOWN, "use_on_your_checkpoint"])
    args = parser.parse_args()
    with chromium() as context:
        tab = Tab(context, args.server, vue=False, light=False)
        tab.page.set_viewport_size(VIEW)
        for name in args.only:
            if name not in SHOWN:
                thumbnail(tab, name)
                continue
            open_example(tab, name)
            run(tab)
            for kind in SHOWN[name]:
                photograph(tab, kind)


if __name__ == "__main__":
    main()
