"""What people see, in a real Chromium on the real server, with classic nodes (dark) and Vue nodes (light).

Screenshots of every widget go to output/screenshots, or where $ERASURE_SCREENSHOTS says.
"""

import json
import urllib.error
import urllib.request

import hostile
import pytest
from pages import CHROMIUM, SHOTS, Tab, chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
QUICK = {"trajectories": 4, "trajectory_steps": 8, "candidate_steps": 4, "search_every": 8, "search_top": 6, "batch_size": 1, "preserve_batch": 1}
STEPS = 30
BOTH = pytest.mark.parametrize("kind", ["classic", "vue"])


def spec(id, type, x, y, links=None, **values):
    return {"id": id, "type": type, "pos": [x, y], "values": values, "links": links or {}}


def pictures(name: str, model, y: int) -> list[dict]:
    """Nodes that draw two fuel pumps."""
    return [
        spec(f"{name}-text", "CLIPTextEncode", 1500, y, {"clip": ["demo", 1]}, text="a fuel pump"), spec(f"{name}-empty", "CLIPTextEncode", 1500, y + 250, {"clip": ["demo", 1]}),
        spec(f"{name}-latent", "EmptyLatentImage", 1500, y + 500, width=128, height=128, batch_size=2),
        spec(f"{name}-sample", "KSampler", 2000, y, {"model": model, "positive": [f"{name}-text", 0], "negative": [f"{name}-empty", 0], "latent_image": [f"{name}-latent", 0]},
             seed=7, control_after_generate="fixed", steps=6, cfg=4.0, sampler_name="ddim"),
        spec(name, "VAEDecode", 2400, y, {"samples": [f"{name}-sample", 0], "vae": ["demo", 2]}),
    ]


def everything(steps: int = STEPS) -> list[dict]:
    """One graph with every node that has a panel."""
    return [
        spec("demo", "LoadErasureDemo", 0, 0), spec("space", "LoadConceptSpace", 0, 200, {"clip": ["demo", 1]}, vocabulary="demo", concept="fuel pump"),
        spec("settings", "EraseAdvanced", 0, 1200, **QUICK),
        spec("train", "AdversarialEraseTrain", 500, 0, {"model": ["demo", 0], "clip": ["demo", 1], "vae": ["demo", 2], "concept_space": ["space", 0], "advanced": ["settings", 0]},
             concept="fuel pump", steps=steps, preview_every=10),
        *pictures("before", ["demo", 0], 0), *pictures("after", ["apply", 0], 900),
        spec("apply", "ApplyErasedLoRA", 1000, 0, {"model": ["demo", 0], "clip": ["demo", 1], "lora": ["train", 0]}),
        spec("compare", "BeforeAfter", 2800, 0, {"before": ["before", 0], "after": ["after", 0]}, labels="a fuel pump", title="Fuel pump erased"),
        spec("probe", "SensitivityProbe", 3500, 0, {"model": ["demo", 0], "clip": ["demo", 1], "concept_space": ["space", 0], "lora": ["train", 0]}, latents=1),
        spec("save", "SaveErasedLoRA", 1000, 900, {"lora": ["train", 0], "before": ["before", 0], "after": ["after", 0]}, name="browser/fuel pump"),
    ]


@pytest.fixture(scope="module")
def context(server):
    hostile.write(server.base / "output" / "loras")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def tabs(context, server):
    """Two tabs with one and the same workflow: classic nodes and Vue nodes. The second finds the setting of its own."""
    classic = Tab(context, server.url, vue=False, light=False)
    classic.build(everything())
    vue = Tab(context, server.url, vue=True, light=True)
    vue.load(classic.graph(), classic.ids)
    yield {"classic": classic, "vue": vue}
    for tab in (classic, vue):
        ours = [e for e in tab.errors if "concept-erasure" in e or "concept_erasure" in e]
        assert not ours, ours


@pytest.fixture(scope="module")
def trained(tabs, server):
    """The whole graph run once, watched by both tabs; the first one is reloaded in the middle."""
    classic, vue = tabs["classic"], tabs["vue"]
    number = classic.ids["train"]
    for tab in (classic, vue):
        tab.page.evaluate("() => { window.seen = []; app.api.addEventListener('concept_erasure.training', (e) => window.seen.push([performance.now(), e.detail.step])) }")
        tab.shoot("train", "training", "training-idle")
    classic.queue()
    panels = {tab: tab.look("train", "training") for tab in (classic, vue)}
    for panel in panels.values():
        classic.until(lambda: panel.locator(".ce-thumb").count() >= 2 and "Update" in panel.locator(".ce-line").inner_text(), 120, "the panel follows the training")
    vue.shoot("train", "training", "training-running")
    classic.reload()
    again = classic.look("train", "training")
    classic.until(lambda: again.locator(".ce-thumb").count() >= 2, 30, "the panel is filled again after a reload")
    seen = vue.page.evaluate("() => window.seen")
    for tab, panel in ((classic, again), (vue, panels[vue])):
        classic.until(lambda: f"Finished after {STEPS} of {STEPS}" in panel.locator(".ce-line").inner_text(), 120, "the end of the training")
    state = server.get(f"/concept_erasure/training/{number}")
    classic.until(lambda: not server.get("/queue")["queue_running"], 120, "the end of the queue")
    vue.reload()  # what the other nodes showed went to the tab that queued; a reload finds it on the server
    return {"state": state, "seen": seen}


@BOTH
def test_training_panel(tabs, trained, kind):
    panel, state = tabs[kind].look("train", "training"), trained["state"]
    assert panel.locator(".ce-line").inner_text() == f"Finished after {STEPS} of {STEPS} updates"
    assert panel.locator(".ce-thumb").count() == 4 and panel.locator(".ce-found-list li .ce-word").count() == len(state["found"]) >= 3
    pixels = panel.locator(".ce-tile img").evaluate_all("(images) => images.map((i) => i.naturalWidth)")
    assert pixels == [128, 128, 128] and panel.locator(".ce-kept b").inner_text() == state["frames"][-1]["word"] != "fuel pump"
    captions = panel.locator(".ce-tile figcaption")
    assert "before" in captions.nth(0).inner_text() and "after 30" in captions.nth(1).inner_text()
    panel.locator(".ce-thumb").nth(1).click()
    assert "after 10" in captions.nth(1).inner_text()
    panel.get_by_role("button", name="Show this picture at the left").click()
    panel.locator(".ce-thumb").nth(1).press("End")
    assert "after 10" in captions.nth(0).inner_text() and "after 30" in captions.nth(1).inner_text()
    tabs[kind].shoot("train", "training", "training-end")


def test_training_is_told_at_most_four_times_a_second_and_costs_little(trained):
    state, steps = trained["state"], {step for _, step in trained["seen"]}
    assert len(steps) >= 3, "updates arrived while it ran"
    drawn = len(state["frames"]) + 3  # pictures, the first state, the stop button and the end are told at once
    span = (trained["seen"][-1][0] - trained["seen"][0][0]) / 1000
    assert len(trained["seen"]) <= 4 * span + drawn
    assert len(state["points"]) == STEPS and state["points"][-1][2] > 0.2 and all(point[3] is not None for point in state["points"][1:])
    assert all(entry["harm"] > 0 and len(entry["also"]) == 5 for entry in state["found"])
    assert state["cost"]["showing"] < 0.02 * span


@BOTH
def test_before_after(tabs, trained, kind):
    tab = tabs[kind]
    panel = tab.look("compare", "compare")
    stage = panel.locator(".ce-stage")
    tab.until(lambda: panel.locator(".ce-pane img").count() == 2, 15, "the pictures of the last run")
    box = stage.bounding_box()
    y = box["y"] + box["height"] / 2
    tab.page.mouse.move(box["x"] + box["width"] / 2, y)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] * 0.3, y, steps=5)
    tab.page.mouse.up()
    assert stage.get_attribute("aria-valuenow") == "30"
    stage.press("ArrowRight")
    assert stage.get_attribute("aria-valuenow") == "32" and "(1 of 2)" in panel.locator(".ce-caption").inner_text()
    stage.press("ArrowDown")
    assert "a fuel pump (2 of 2)" in panel.locator(".ce-caption").inner_text()
    tab.shoot("compare", "compare", "before-after-slider")
    tab.page.mouse.move(box["x"] + box["width"] / 2, y)

    def zoomed():  # a wheel event right after a photograph may get lost
        tab.page.mouse.wheel(0, -200)
        tab.page.wait_for_timeout(300)
        return "scale(1)" not in panel.locator(".ce-pane img").first.get_attribute("style")

    tab.until(zoomed, 10, "zoom by the wheel")
    stage.press("0")
    stage.press("m")
    assert panel.get_by_role("button", name="Two pictures").get_attribute("aria-pressed") == "true" and stage.get_attribute("aria-valuenow") is None
    tab.shoot("compare", "compare", "before-after-side")
    with tab.page.expect_download() as download:
        panel.get_by_role("button", name="Save this comparison").click()
    assert download.value.suggested_filename == "Fuel pump erased.png"
    download.value.save_as(SHOTS / f"before-after-saved-{tab.name}.png")
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.bring_to_front()
    tab.page.evaluate("() => navigator.clipboard.writeText('nothing yet')")
    panel.get_by_role("button", name="Copy this comparison").click()
    tab.until(lambda: tab.page.evaluate("async () => (await navigator.clipboard.read())[0].types.includes('image/png')"), 10, "the picture on the clipboard")


@BOTH
def test_spectrum(tabs, trained, kind):
    tab = tabs[kind]
    panel = tab.look("probe", "spectrum")
    tab.until(lambda: panel.locator("li[data-word]").count() >= 50, 15, "the spectrum of the last run")
    box = panel.locator(".ce-spectrum-chart .u-over").bounding_box()
    told = {panel.locator(".ce-readout").inner_text()}
    for share in (0.3, 0.7):
        tab.page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        tab.until(lambda: panel.locator(".ce-readout").inner_text() not in told, 5, "the word under the pointer")
        told.add(panel.locator(".ce-readout").inner_text())
    assert all("more harmed than" in t for t in told)
    panel.locator("input[type=search]").fill("boat")
    row = panel.locator('li[data-word="sailboat"]')
    row.wait_for()
    row.get_by_role("button", name="Protect sailboat").click()
    assert tab.widget("space", "protect") == "sailboat"
    tab.shoot("probe", "spectrum", "spectrum-search")
    row.get_by_role("button", name="No longer protect").click()
    assert tab.widget("space", "protect") == ""
    panel.locator("input[type=search]").fill("")
    tab.page.wait_for_timeout(400)
    tab.shoot("probe", "spectrum", "spectrum")


@BOTH
def test_concept_picker(tabs, trained, kind):
    tab = tabs[kind]
    panel = tab.look("space", "picker")
    tab.until(lambda: "Nearest to 'fuel pump'" in panel.inner_text(), 15, "neighbours of the target")
    assert "is erased" in panel.locator(".ce-note").inner_text()
    panel.locator("input").fill("gui")
    row = panel.locator('li[data-word="guitar"]')
    row.wait_for()
    row.get_by_role("button", name="protect guitar").click()
    assert tab.widget("space", "protect") == "guitar"
    row.get_by_role("button", name="exclude guitar").click()
    assert (tab.widget("space", "protect"), tab.widget("space", "exclude")) == ("", "guitar")
    tab.shoot("space", "picker", "picker-search")
    row.get_by_role("button", name="No longer exclude guitar").click()
    panel.locator("input").fill("")
    tab.set("space", "concept", "church")
    tab.until(lambda: "Nearest to 'church'" in panel.inner_text(), 10, "neighbours of another word, without a run")
    tab.set("space", "concept", "fuel pump")
    tab.until(lambda: "Nearest to 'fuel pump'" in panel.inner_text(), 10)
    tab.shoot("space", "picker", "picker")


@BOTH
def test_eraser_card(tabs, trained, kind):
    tab = tabs[kind]
    panel = tab.look("apply", "eraser")
    tab.until(lambda: "ap-ranked" in panel.inner_text(), 15, "what the wired eraser says of itself")
    tab.set("apply", "lora_name", "browser/fuel pump.safetensors")
    tab.until(lambda: panel.locator(".ce-chip").count() == 1 and panel.locator("img").evaluate_all("(i) => i[0]?.naturalWidth"), 10, "card and thumbnail of the file")
    assert panel.locator(".ce-chip").inner_text() == "fuel pump" and "30 updates" in panel.inner_text()
    tab.shoot("apply", "eraser", "eraser-card")
    for name, text in (("script", hostile.SCRIPT), ("large", "rrrr"), ("too-large", "larger than 1 MiB"), ("broken-card", "card is damaged"), ("odd-card", "card is damaged"), ("svg", "svg"),
                       ("garbage", "not a whole safetensors file")):
        tab.set("apply", "lora_name", f"hostile/{name}.safetensors")
        tab.until(lambda: text in panel.inner_text(), 10, f"{name}: {panel.inner_text()}")
        assert panel.locator(".ce-card-body img").count() == (name == "script") and panel.locator("script").count() == 0
        if name in ("script", "too-large"):
            tab.shoot("apply", "eraser", f"eraser-{name}")
    assert tab.page.evaluate("() => window.pwned") is None
    tab.set("apply", "lora_name", "(the wired LoRA)")


def test_a_mismatch_with_the_wired_model_is_red(tabs, trained):
    tab = tabs["classic"]
    tab.set("apply", "lora_name", "hostile/script.safetensors")
    tab.queue()
    panel = tab.look("apply", "eraser")
    tab.until(lambda: "does not say which base model" in panel.locator(".ce-warnings").inner_text(), 60, "a warning")
    red = panel.locator(".ce-warnings").evaluate("(e) => getComputedStyle(e).color").removeprefix("rgb(").split(", ")
    assert int(red[0]) > 180 and int(red[1]) < 140
    tab.shoot("apply", "eraser", "eraser-mismatch")
    tab.set("apply", "lora_name", "hostile/garbage.safetensors")
    tab.queue()
    tab.until(lambda: "damaged or not a safetensors file" in panel.locator(".ce-warnings").inner_text(), 60, "why it failed")
    tab.close_dialogs()
    tab.set("apply", "lora_name", "(the wired LoRA)")


@BOTH
def test_sidebar(tabs, trained, kind):
    tab = tabs[kind]
    tab.page.locator(".concept-erasure-tab-button").click()
    side = tab.page.locator(".ce-side-tab")
    side.locator(".ce-erasers h3", has_text="fuel pump").first.wait_for()
    assert hostile.SCRIPT in side.inner_text() and tab.page.evaluate("() => window.pwned") is None
    side.locator("input").fill("fuel")
    tab.until(lambda: hostile.SCRIPT not in side.inner_text(), 5)
    tab.page.wait_for_timeout(500)
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.page.screenshot(path=SHOTS / f"sidebar-{tab.name}.png", clip={"x": 0, "y": 0, "width": 560, "height": 1000})
    count = tab.page.evaluate("() => app.graph.nodes.length")
    side.get_by_role("button", name="with browser/fuel pump.safetensors").first.click()
    assert tab.page.evaluate("() => [app.graph.nodes.length, app.graph.nodes.at(-1).widgets[0].value]") == [count + 1, "browser/fuel pump.safetensors"]
    tab.page.evaluate("() => app.graph.remove(app.graph.nodes.at(-1))")
    graph = tab.graph()
    side.locator(".ce-example", has_text="Erase an object").click()
    tab.until(lambda: tab.page.evaluate("() => app.graph.nodes.some((n) => n.type === 'MarkdownNote')"), 10, "the example opens")
    tab.load(graph, tab.ids)
    tab.page.locator(".concept-erasure-tab-button").click()


def test_stop_and_keep(tabs, trained, server):
    tab = tabs["classic"]
    tab.build([n for n in everything(400) if n["id"] in ("demo", "space", "settings", "train")] + [spec("save", "SaveErasedLoRA", 1000, 0, {"lora": ["train", 0]}, name="browser/stopped")])
    tab.queue()
    panel = tab.look("train", "training")
    stop = panel.get_by_role("button", name="Stop training now")
    tab.until(lambda: stop.is_visible() and stop.is_enabled(), 90, "the training runs")
    stop.click()
    tab.until(lambda: "what was learned is kept" in panel.locator(".ce-line").inner_text(), 60, "it ends")
    saved = tab.look("save", "saved")
    tab.until(lambda: saved.inner_text() == "saved output/loras/browser/stopped.safetensors", 60, "the graph goes on to its end")
    card = server.get("/concept_erasure/eraser?name=browser/stopped.safetensors")
    assert 0 < card["steps"] < 400 and card["erases"] == [{"name": "fuel pump", "target": ""}]


def test_routes_are_confined(server):
    for name in ("../../secret.safetensors", "/etc/passwd", "..%2F..%2Fx.safetensors", "x.safetensors", ""):
        for route in ("eraser", "thumbnail"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                server.get(f"/concept_erasure/{route}?name={name}")
            assert refused.value.code == 404
    assert server.get("/concept_erasure/training/999") == {}
    assert server.get("/concept_erasure/space/999?vocabulary=../../secret.txt&q=a")["size"] == 0
    assert server.post("/concept_erasure/training/999/stop", {}) == {"stopping": False}
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/json", "Origin": "http://evil.example"}):
        request = urllib.request.Request(f"{server.url}/concept_erasure/training/1/stop", json.dumps({}).encode(), headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code in (403, 415)
