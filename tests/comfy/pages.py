"""ComfyUI's page in a real Chromium: build a graph, queue it, look at a node, photograph it."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

from real_server import ROOT

SHOTS = Path(os.environ.get("ERASURE_SCREENSHOTS", ROOT / "output" / "screenshots"))
CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
_SETTINGS = {"LiteGraph.Canvas.MaximumFps": 12, "Comfy.Minimap.Visible": False}  # one core draws both tabs and trains
_BUILD = """
(specs) => {
  app.graph.clear();
  const made = {};
  for (const s of specs) {
    const node = (made[s.id] = LiteGraph.createNode(s.type));
    node.pos = s.pos;
    app.graph.add(node);
    for (const [name, value] of Object.entries(s.values ?? {})) {
      const widget = node.widgets.find((w) => w.name === name);
      widget.value = value;
      widget.callback?.(value);
    }
  }
  for (const s of specs)
    for (const [name, [from, slot]] of Object.entries(s.links ?? {})) made[from].connect(slot, made[s.id], made[s.id].inputs.findIndex((i) => i.name === name));
  return Object.fromEntries(Object.entries(made).map(([id, node]) => [id, node.id]));
}
"""

_PLACE = """
([id, kind]) => {
  const element = app.graph.getNodeById(id).widgets.find((w) => w.name === 'concept_erasure_view').element;
  return [...document.querySelectorAll(`.ce-${kind}`)].indexOf(element);
}
"""


@contextmanager
def chromium():
    """A browser context with a page size of its own; new_page() gives tabs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        context = browser.new_context(viewport={"width": 1300, "height": 1000}, accept_downloads=True)
        context.set_default_timeout(20_000)
        context.add_init_script("localStorage.setItem('vueNodesBannerDismissed', 'true')")
        yield context
        browser.close()


class Tab:
    """One tab with ComfyUI in it.

    Args:
        vue: Vue nodes ("Nodes 2.0") or classic ones.
        light: light or dark theme.
    """

    def __init__(self, context, url: str, vue: bool, light: bool):
        self.page, self.name, self.ids, self.errors = context.new_page(), f"{'vue' if vue else 'classic'}-{'light' if light else 'dark'}", {}, []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self._settings = _SETTINGS | {"Comfy.VueNodes.Enabled": vue, "Comfy.ColorPalette": "light" if light else "dark"}
        self.page.goto(url)
        self.ready()
        self._set_up()

    def _set_up(self) -> None:
        """Settings are kept by the server, for all tabs: what this tab has loaded stays, what it will load is set again."""
        self.page.evaluate("async (settings) => { for (const [name, value] of Object.entries(settings)) await app.extensionManager.setting.set(name, value) }", self._settings)

    def reload(self) -> None:
        for name, value in self._settings.items():
            self.page.evaluate("async ([name, value]) => app.api.storeSetting(name, value)", [name, value])
        self.page.reload()
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_function("window.app?.graph && window.app?.extensionManager?.setting && document.querySelector('canvas')", timeout=90_000)
        self.page.wait_for_timeout(1200)

    def build(self, specs: list[dict]) -> None:
        """A new graph; `ids` then maps names to node numbers."""
        self.ids = self.page.evaluate(_BUILD, specs)

    def graph(self) -> str:
        return self.page.evaluate("() => JSON.stringify(app.graph.serialize())")

    def load(self, graph: str, ids: dict) -> None:
        self.page.evaluate("async (graph) => app.loadGraphData(JSON.parse(graph))", graph)
        self.ids = ids
        self.page.wait_for_timeout(800)

    def queue(self) -> None:
        self.page.evaluate("() => app.queuePrompt(0, 1)")

    def widget(self, node: str, name: str):
        return self.page.evaluate("([id, name]) => app.graph.getNodeById(id).widgets.find((w) => w.name === name).value", [self.ids[node], name])

    def set(self, node: str, name: str, value) -> None:
        self.page.evaluate("([id, name, value]) => { const w = app.graph.getNodeById(id).widgets.find((w) => w.name === name); w.value = value; w.callback?.(value) }", [self.ids[node], name, value])

    def look(self, node: str, kind: str):
        """Bring a node into view; returns the locator of its panel, which has the class `ce-<kind>`."""
        self.page.evaluate("(id) => { const n = app.graph.getNodeById(id); app.canvas.ds.scale = 1; app.canvas.ds.offset = [140 - n.pos[0], 110 - n.pos[1]]; app.canvas.setDirty(true, true) }", self.ids[node])
        number, last = lambda: self.page.evaluate(_PLACE, [self.ids[node], kind]), []
        self.until(lambda: number() >= 0, 15, f"{node} has a panel")
        panel = self.page.locator(f".ce-{kind}").nth(number())

        def still():
            last.append(panel.bounding_box())
            return len(last) > 2 and last[-1] == last[-2] == last[-3] and 100 < last[-1]["x"] < 200

        self.until(still, 15, f"{node} in view: {last[-1:]}")
        return panel

    def shoot(self, node: str, kind: str, name: str) -> None:
        """Photograph a node into the screenshots folder."""
        box = self.look(node, kind).bounding_box()
        SHOTS.mkdir(parents=True, exist_ok=True)
        top = max(60, box["y"] - 420)
        self.page.screenshot(path=SHOTS / f"{name}-{self.name}.png", clip={"x": box["x"] - 30, "y": top, "width": box["width"] + 60, "height": min(1000, box["y"] + box["height"] + 30) - top})

    def close_dialogs(self) -> None:
        """ComfyUI reports a failed run in a dialog over everything."""
        self.page.locator(".p-dialog-mask").first.wait_for()
        while self.page.locator(".p-dialog-mask").count():
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(400)

    def until(self, test, seconds: float = 30, what: str = ""):
        """Wait until `test()` gives something true; returns it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := test():
                return found
            self.page.wait_for_timeout(150)
        raise AssertionError(f"not within {seconds} s: {what}")
