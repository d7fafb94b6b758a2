"""Write example_workflows/*.json: `python scripts/example_workflows.py --server http://127.0.0.1:8188`.

The graphs are written down here once; the running server tells names, order and defaults of the inputs. With
`--pictures` each graph that runs on the demo model is executed and its last picture becomes the thumbnail.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "example_workflows"
SIZES = {  # with their panels
    "LoadErasureDemo": (260, 70), "LoadConceptSpace": (360, 640), "EraseAdvanced": (360, 760), "AdversarialEraseTrain": (420, 900), "ApplyErasedLoRA": (360, 360),
    "SaveErasedLoRA": (360, 370), "SensitivityProbe": (500, 760), "BeforeAfter": (560, 620),
    "CheckpointLoaderSimple": (320, 100), "CLIPTextEncode": (240, 90), "EmptyLatentImage": (220, 110), "KSampler": (260, 280), "VAEDecode": (160, 50), "ImageBatch": (160, 50),
    "MarkdownNote": (600, 250),
}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


class Server:
    """The few calls needed."""

    def __init__(self, url: str):
        self.url = url

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.read()

    def run(self, prompt: dict) -> dict:
        """Execute an API-format prompt and return its history entry."""
        body = json.dumps({"prompt": prompt}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + "/prompt", body, {"Content-Type": "application/json"})) as answer:
            number = json.loads(answer.read())["prompt_id"]
        while True:
            history = json.loads(self.get(f"/history/{number}"))
            if number in history:
                return history[number]
            time.sleep(0.5)


class Graph:
    """A workflow in the making. `add` returns the node; `node[i]` is its i-th output."""

    def __init__(self, info: dict):
        self.info, self.nodes, self.links = info, [], []

    def add(self, kind: str, pos: tuple[int, int], heading: str = "", /, **values) -> Node:
        node = Node(self, len(self.nodes) + 1, kind, pos, SIZES[kind], heading, values)
        self.nodes.append(node)
        return node

    def note(self, pos: tuple[int, int], text: str) -> None:
        self.add("MarkdownNote", pos, "What to do", text=text)

    def ui(self) -> dict:
        """The format that the browser opens."""
        self.links = []
        made = [node.ui() for node in self.nodes]
        for number, source, slot, target, place, kind in self.links:
            made[source - 1]["outputs"][slot]["links"].append(number)
        return {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made, sort_keys=True))), "revision": 0, "last_node_id": len(made), "last_link_id": len(self.links),
                "nodes": made, "links": self.links, "groups": [], "config": {}, "extra": {}, "version": 0.4}

    def api(self) -> dict:
        """The format that the server executes."""
        return {str(n.number): {"class_type": n.kind, "inputs": n.api()} for n in self.nodes if n.kind != "MarkdownNote"}


class Node:
    def __init__(self, graph: Graph, number: int, kind: str, pos, size, heading: str, values: dict):
        self.graph, self.number, self.kind, self.pos, self.size, self.heading, self.values = graph, number, kind, pos, size, heading, values

    def __getitem__(self, slot: int) -> tuple[Node, int]:
        return self, slot

    def inputs(self) -> list[tuple[str, str, dict, bool]]:
        """(name, type, options, optional) in the order of the node."""
        if self.kind == "MarkdownNote":
            return [("text", "STRING", {}, False)]
        spec = self.graph.info[self.kind]["input"]
        rows = []
        for part in ("required", "optional"):
            for name, (kind, *options) in spec.get(part, {}).items():
                options = options[0] if options else {}
                if isinstance(kind, list):
                    kind, options = "COMBO", {"options": kind, **options}
                rows.append((name, kind, options, part == "optional"))
        return rows

    def value(self, name: str, options: dict):
        if name in self.values:
            return self.values[name]
        return options.get("default", (options.get("options") or [""])[0])

    def api(self) -> dict:
        found = {}
        for name, kind, options, optional in self.inputs():
            value = self.values.get(name)
            if isinstance(value, tuple):
                found[name] = [str(value[0].number), value[1]]
            elif kind in WIDGETS:
                found[name] = self.value(name, options)
        return found

    def ui(self) -> dict:
        sockets, widgets = [], []
        for name, kind, options, optional in self.inputs():
            is_widget, value = kind in WIDGETS, self.values.get(name)
            if is_widget:
                widgets.append(self.value(name, options))
                if options.get("control_after_generate") or (self.kind == "KSampler" and name == "seed"):
                    widgets.append("fixed")
            if self.kind == "MarkdownNote":
                continue
            socket = {"name": name, "type": kind, "link": None} | ({"widget": {"name": name}} if is_widget else {}) | ({"shape": 7} if optional else {})
            if isinstance(value, tuple):
                source, slot = value
                number = len(self.graph.links) + 1
                socket["link"] = number
                self.graph.links.append([number, source.number, slot, self.number, len(sockets), self.graph.info[source.kind]["output"][slot]])
            sockets.append(socket)
        outputs = [] if self.kind == "MarkdownNote" else self.graph.info[self.kind]
        if outputs:
            outputs = [{"name": n, "type": t, "links": []} for n, t in zip(outputs["output_name"], outputs["output"])]
        made = {"id": self.number, "type": self.kind, "pos": list(self.pos), "size": list(self.size), "flags": {}, "order": self.number - 1, "mode": 0,
                "inputs": sockets, "outputs": outputs, "properties": {"Node name for S&R": self.kind}, "widgets_values": widgets}
        return made | ({"title": self.heading} if self.heading else {})


def demo(g: Graph, words: str, concept: str, protect: str = ""):
    """Model and concept space, at the left of every demo graph."""
    base = g.add("LoadErasureDemo", (20, 250))
    space = g.add("LoadConceptSpace", (20, 370), clip=base[1], vocabulary=words, concept=concept.split("\n")[0], protect=protect)
    return base, space


def draw(g: Graph, base: Node, model, prompts: list[str], left: int, top: int, seed: int = 7) -> tuple:
    """Pictures of the prompts with `model`, joined into one batch."""
    empty = g.add("CLIPTextEncode", (left, top), "empty prompt", clip=base[1], text="")
    latent = g.add("EmptyLatentImage", (left, top + 130), width=128, height=128, batch_size=3)
    images = None
    for i, prompt in enumerate(prompts):
        text = g.add("CLIPTextEncode", (left + 250, top + i * 330), prompt, clip=base[1], text=prompt)
        sampled = g.add("KSampler", (left + 520, top + i * 330), model=model, positive=text[0], negative=empty[0], latent_image=latent[0], seed=seed, steps=20, cfg=4.0,
                        sampler_name="ddim", scheduler="normal", denoise=1.0)
        decoded = g.add("VAEDecode", (left + 810, top + i * 330), samples=sampled[0], vae=base[2])
        images = decoded[0] if images is None else g.add("ImageBatch", (left + 810, top + i * 330 + 90), image1=images, image2=decoded[0])[0]
    return images


def erase_an_object(info: dict) -> Graph:
    g = Graph(info)
    g.note((20, -20), "## Erase an object\n\nPress **Run**. A tiny model that ships with the pack forgets what a *fuel pump* is, in about two minutes on two CPU cores, and keeps everything else.\n\n"
           "- *Adversarial Erase Train* shows the fuel pump fading.\n- *Before / After* compares pictures drawn with the same seeds: the pump is gone, the bus stays.\n- *Save Erased LoRA* writes an ordinary LoRA into `output/loras`.\n\n"
           "To erase something else ('church', 'banana'), change **concept** in *Adversarial Erase Train*, and the prompts, labels and names that say *fuel pump*.")
    base, space = demo(g, "demo", "fuel pump")
    train = g.add("AdversarialEraseTrain", (420, 250), model=base[0], clip=base[1], concept_space=space[0], vae=base[2], concept="fuel pump")
    before = draw(g, base, base[0], ["a fuel pump", "a bus"], 880, -480)
    after = draw(g, base, train[1], ["a fuel pump", "a bus"], 880, 250)
    g.add("BeforeAfter", (1910, 0), before=before, after=after, labels="a fuel pump\na bus", title="'fuel pump' erased")
    g.add("SaveErasedLoRA", (1910, 700), lora=train[0], before=before, after=after, name="demo/fuel pump", notes="Made with the demo model.")
    return g


def erase_a_style(info: dict) -> Graph:
    g = Graph(info)
    g.note((20, -20), "## Erase a style\n\nPress **Run**. The demo model forgets the *ink style*; its other styles stay.\n\nA style shows on many things and goes less easily than an object. "
           "For a concept of this model whose name ends in *style* the settings follow: many **templates** (prompts in which the style occurs), more *negative_guidance*, less *preserve_strength*, more steps. "
           "*Erase Advanced Settings* has them all, for models of your own.")
    base, space = demo(g, "demo", "ink style")
    train = g.add("AdversarialEraseTrain", (420, 250), model=base[0], clip=base[1], concept_space=space[0], vae=base[2], concept="ink style")
    before = draw(g, base, base[0], ["a cat in ink style", "a cat in pencil sketch style"], 880, -480)
    after = draw(g, base, train[1], ["a cat in ink style", "a cat in pencil sketch style"], 880, 250)
    g.add("BeforeAfter", (1910, 0), before=before, after=after, labels="a cat in ink style\na cat in pencil sketch style", title="'ink style' erased")
    g.add("SaveErasedLoRA", (1910, 700), lora=train[0], before=before, after=after, name="demo/ink style", notes="Made with the demo model.")
    return g


def see_the_damage(info: dict) -> Graph:
    g = Graph(info)
    g.note((20, -20), "## See the damage before you train\n\nPress **Run**. *Sensitivity Probe* tries a short erasure of a *dog*, throws it away, and shows which concepts it harmed most.\n\n"
           "Write those you care about into **protect** of *Load Concept Space* and train with that.")
    base, space = demo(g, "demo", "dog")
    g.add("SensitivityProbe", (420, 250), model=base[0], clip=base[1], concept_space=space[0], concept="dog")
    return g


def compare_recipes(info: dict) -> Graph:
    g = Graph(info)
    g.note((20, -20), "## Compare recipes\n\nPress **Run**. The same *dog* is erased twice: without any protection (`esd`) and with adversarial preservation (`ap-ranked`). "
           "The two spectra show what each of them costs the other concepts: the lower the curve, the better.")
    base, space = demo(g, "demo", "dog")
    for i, recipe in enumerate(("esd", "ap-ranked")):
        train = g.add("AdversarialEraseTrain", (420, 250 + i * 960), recipe, model=base[0], clip=base[1], concept_space=space[0], vae=base[2], concept="dog", recipe=recipe, steps=150, preview_every=0)
        g.add("SensitivityProbe", (880, 250 + i * 960), recipe, model=base[0], clip=base[1], concept_space=space[0], lora=train[0])
    return g


def stack_two_erasers(info: dict) -> Graph:
    g = Graph(info)
    g.note((20, -20), "## Stack two erasers\n\nPress **Run**. Two erasers are trained one after the other, a *banana* and a *guitar*, and loaded together: erasers add up like any other LoRA.\n\n"
           "*Apply Erased LoRA* takes a file as well: choose one in **lora_name**.")
    base, space = demo(g, "demo", "banana")
    model = base[0]
    for i, concept in enumerate(("banana", "guitar")):
        train = g.add("AdversarialEraseTrain", (420, 250 + i * 960), concept, model=base[0], clip=base[1], concept_space=space[0], vae=base[2], concept=concept, preview_every=0)
        model = g.add("ApplyErasedLoRA", (880, 250 + i * 960), model=model, clip=base[1], lora=train[0])[0]
    prompts = ["a banana", "a guitar", "a cat"]
    before, after = draw(g, base, base[0], prompts, 1280, -760), draw(g, base, model, prompts, 1280, 300)
    g.add("BeforeAfter", (2310, 0), before=before, after=after, labels="\n".join(prompts), title="'banana' and 'guitar' erased by two LoRAs")
    return g


def use_on_your_checkpoint(info: dict) -> Graph:
    g = Graph(info)
    g.note((20, -60), "## Use it on SD 1.5 or SDXL\n\n1. Choose your checkpoint.\n2. Press **Run**: *Vincent van Gogh* is erased, the eraser lands in `output/loras`.\n\n"
           "**To erase something else**, change what says *Vincent van Gogh*: **concept** in two nodes, the prompt, label, title and file name. For an object take the vocabulary `english` and the single template `{}`; "
           "for another artist or style leave both as they are.\n\n"
           "For SDXL set width and height to 1024. If memory is short: in *Erase Advanced Settings* lower **training_side** (512 for SDXL) and switch **gradient_checkpointing** on.")
    base = g.add("CheckpointLoaderSimple", (20, 250))
    space = g.add("LoadConceptSpace", (20, 400), clip=base[1], vocabulary="artists", concept="Vincent van Gogh")
    advanced = g.add("EraseAdvanced", (20, 1090), templates="{}\na painting by {}\nart in the style of {}")
    train = g.add("AdversarialEraseTrain", (420, 250), model=base[0], clip=base[1], concept_space=space[0], vae=base[2], advanced=advanced[0], concept="Vincent van Gogh")
    empty = g.add("CLIPTextEncode", (880, 250), "empty prompt", clip=base[1], text="")
    text = g.add("CLIPTextEncode", (880, 380), clip=base[1], text="a painting of a village at night by Vincent van Gogh")
    latent = g.add("EmptyLatentImage", (880, 540), width=512, height=512, batch_size=1)
    pictures = []
    for i, model in enumerate((base[0], train[1])):
        sampled = g.add("KSampler", (1160, 250 + i * 340), model=model, positive=text[0], negative=empty[0], latent_image=latent[0], seed=7)
        pictures.append(g.add("VAEDecode", (1450, 250 + i * 340), samples=sampled[0], vae=base[2])[0])
    g.add("BeforeAfter", (1650, 0), before=pictures[0], after=pictures[1], labels="by Vincent van Gogh", title="'Vincent van Gogh' erased")
    g.add("SaveErasedLoRA", (1650, 700), lora=train[0], before=pictures[0], after=pictures[1], name="Vincent van Gogh eraser")
    return g


GRAPHS = {f.__name__: f for f in (erase_an_object, erase_a_style, see_the_damage, compare_recipes, stack_two_erasers, use_on_your_checkpoint)}


def thumbnail(server: Server, graph: Graph, outputs: dict) -> bytes:
    """What a graph showed, as a JPEG: before over after, or else the pictures of its probes."""
    shown = [n for n in outputs.values() if "a_images" in n]
    if shown:
        best = over([fetch(server, ref) for ref in shown[0]["a_images"]], [fetch(server, ref) for ref in shown[0]["b_images"]])
    else:
        best = below([(n.heading, fetch(server, ref)) for n in graph.nodes if n.kind == "SensitivityProbe" for ref in outputs[str(n.number)]["images"]])
    best.thumbnail((720, 900))
    buffer = io.BytesIO()
    best.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def fetch(server: Server, ref: dict):
    from PIL import Image

    return Image.open(io.BytesIO(server.get(f"/view?filename={urllib.request.quote(ref['filename'])}&subfolder={ref['subfolder']}&type={ref['type']}"))).convert("RGB")


def below(pictures: list):
    """Pictures one below the other, each under its heading if it has one."""
    from PIL import Image, ImageDraw, ImageFont

    heads = [44 if heading else 0 for heading, _ in pictures]
    sheet, y = Image.new("RGB", (pictures[0][1].width, sum(heads) + sum(p.height for _, p in pictures)), "white"), 0
    for head, (heading, picture) in zip(heads, pictures):
        ImageDraw.Draw(sheet).text((24, y + 8), heading, "#181a1f", ImageFont.load_default(30))
        sheet.paste(picture, (0, y + head))
        y += head + picture.height
    return sheet


def over(before: list, after: list, most: int = 6):
    """Two rows of pictures with a word at the left of each."""
    from PIL import Image, ImageDraw, ImageFont

    shown = min(most, len(before))
    rows, cell, left = [[row[i * len(row) // shown] for i in range(shown)] for row in (before, after)], 160, 90
    sheet = Image.new("RGB", (left + len(rows[0]) * (cell + 6), 2 * (cell + 6)), "white")
    for y, (word, row) in enumerate(zip(("before", "after"), rows)):
        ImageDraw.Draw(sheet).text((12, y * (cell + 6) + cell / 2), word, "#181a1f", ImageFont.load_default(20), anchor="lm")
        for x, picture in enumerate(row):
            sheet.paste(picture.resize((cell, cell), Image.LANCZOS), (left + x * (cell + 6), y * (cell + 6) + 3))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--pictures", action="store_true", help="run the demo graphs and make the thumbnails")
    parser.add_argument("--only", nargs="*", default=list(GRAPHS), choices=list(GRAPHS))
    args = parser.parse_args()
    server = Server(args.server)
    info = json.loads(server.get("/object_info"))
    FOLDER.mkdir(exist_ok=True)
    for name in args.only:
        graph = GRAPHS[name](info)
        (FOLDER / f"{name}.json").write_text(json.dumps(graph.ui(), indent=1) + "\n", encoding="utf-8")
        print(f"wrote {name}.json", flush=True)
        if args.pictures and name != "use_on_your_checkpoint":
            began = time.time()
            entry = server.run(graph.api())
            if entry["status"]["status_str"] != "success":
                raise SystemExit(f"{name}: {entry['status']}")
            (FOLDER / f"{name}.jpg").write_bytes(thumbnail(server, graph, entry["outputs"]))
            print(f"ran {name} in {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
