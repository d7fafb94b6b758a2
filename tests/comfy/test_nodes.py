"""The nodes on a running server, driven as a browser drives it: queue, look at the pictures, cancel, queue again."""

import json
import time
from pathlib import Path

import pytest
import torch
from real_server import ROOT, node
from safetensors.torch import load_file

NODES = ("LoadErasureDemo", "LoadConceptSpace", "AdversarialEraseTrain", "EraseAdvanced", "ApplyErasedLoRA", "SaveErasedLoRA", "SensitivityProbe", "BeforeAfter")
QUICK = {"steps": 20, "preview_every": 0}


def space(**changes):
    return node("LoadConceptSpace", **{"clip": ["demo", 1], "vocabulary": "demo", "own_words": "", "concept": "fuel pump", "protect": "", "exclude": "", "candidates": 1000, "centers": 100} | changes)


def train(**changes):
    return node("AdversarialEraseTrain", **{
        "model": ["demo", 0], "clip": ["demo", 1], "vae": ["demo", 2], "concept_space": ["space", 0], "concept": "fuel pump", "replace_with": "", "recipe": "ap-ranked", "steps": 120,
        "preserve_strength": 1.0, "rank": 8, "erase_seed": 0, "preview_every": 60,
    } | changes)


def pictures(name: str, model, prompt: str, count: int = 4) -> dict:
    """Nodes that draw `count` pictures of a prompt and save them as `name`."""
    return {
        f"{name}-empty": node("CLIPTextEncode", clip=["demo", 1], text=""), f"{name}-text": node("CLIPTextEncode", clip=["demo", 1], text=prompt),
        f"{name}-latent": node("EmptyLatentImage", width=128, height=128, batch_size=count),
        f"{name}-sample": node("KSampler", model=model, seed=5, steps=16, cfg=4.0, sampler_name="ddim", scheduler="normal", positive=[f"{name}-text", 0], negative=[f"{name}-empty", 0],
                               latent_image=[f"{name}-latent", 0], denoise=1.0),
        f"{name}-decode": node("VAEDecode", samples=[f"{name}-sample", 0], vae=["demo", 2]), name: node("SaveImage", images=[f"{name}-decode", 0], filename_prefix=name),
    }


BASE = {"demo": node("LoadErasureDemo"), "space": space()}


@pytest.fixture(scope="module")
def erased(server):
    """A fuel pump erased, applied, drawn and saved."""
    prompt = BASE | {
        "train": train(), "apply": node("ApplyErasedLoRA", model=["demo", 0], clip=["demo", 1], lora=["train", 0], lora_name="(the wired LoRA)", strength=1.0),
        "save": node("SaveErasedLoRA", lora=["train", 0], name="tests/fuel pump", place="output/loras", author="me", notes="a test", before=["before-pump-decode", 0], after=["pump-decode", 0]),
        "frames": node("SaveImage", images=["train", 3], filename_prefix="frames"),
        "card": node("PreviewAny", source=["apply", 2]),
    }
    for name, model in (("before-", "demo"), ("", "apply")):
        prompt |= pictures(f"{name}pump", [model, 0], "a fuel pump") | pictures(f"{name}bus", [model, 0], "a bus")
    return prompt, server.run(prompt)


def seen(server, judge, output, concept: str) -> float:
    """Share of the pictures in which the judge sees the concept."""
    scores = judge.classify(server.pictures(output))
    return (scores.concept_probs.argmax(1) == judge.concepts.index(concept)).float().mean().item()


def test_the_pack_loads_whole_and_silently(server):
    info = server.get("/object_info")
    assert set(NODES) <= set(info)
    for name in NODES:
        assert info[name]["category"] == "concept erasure" and info[name]["description"]
        for part in (info[name]["input"].get(p, {}) for p in ("required", "optional")):
            for key, (_, *options) in part.items():
                assert options and options[0].get("tooltip"), f"{name}.{key} has no tooltip"
    log = server.log.read_text()
    ours = [line for line in log.splitlines() if "concept-erasure" in line]
    assert ours and not any("FAILED" in line or "rror" in line or "arning" in line for line in ours), ours


def test_another_strength_trains_nothing_again(server, erased):
    """Must be the first to run after `erased`: the server caches what the last graph had."""
    prompt, _ = erased
    prompt = json.loads(json.dumps(prompt))
    prompt["apply"]["inputs"]["strength"] = 0.5
    entry = server.wait(server.queue(prompt))
    cached = next(m[1]["nodes"] for m in entry["status"]["messages"] if m[0] == "execution_cached")
    assert entry["status"]["status_str"] == "success" and "train" in cached and "apply" not in cached


def test_the_concept_is_gone_and_another_stays(server, erased, judge):
    _, found = erased
    assert seen(server, judge, found["before-pump"], "fuel pump") == 1 and seen(server, judge, found["before-bus"], "bus") >= 0.75
    assert seen(server, judge, found["pump"], "fuel pump") == 0 and seen(server, judge, found["bus"], "bus") >= 0.75
    frames = server.pictures(found["frames"])
    assert frames.shape[0] == 3 and (frames[0] - frames[-1]).abs().mean() > 0.05
    assert "Erases: fuel pump" in json.dumps(found["card"]) and "Warning" not in json.dumps(found["card"])


def test_the_saved_file_loads_in_the_stock_loader_with_the_same_picture(server, erased):
    _, found = erased
    path = server.base / "output/loras/tests/fuel pump.safetensors"
    assert path.is_file() and path.with_suffix(".preview.png").is_file()
    prompt = {"demo": BASE["demo"], "stock": node("LoraLoader", model=["demo", 0], clip=["demo", 1], lora_name="tests/fuel pump.safetensors", strength_model=1.0, strength_clip=1.0),
              "mine": node("ApplyErasedLoRA", model=["demo", 0], lora_name="tests/fuel pump.safetensors", strength=1.0)}
    again = server.run(prompt | pictures("stock-pump", ["stock", 0], "a fuel pump") | pictures("mine-pump", ["mine", 0], "a fuel pump"))
    assert torch.equal(server.pictures(again["stock-pump"]), server.pictures(again["mine-pump"]))
    assert (server.pictures(again["mine-pump"]) - server.pictures(found["pump"])).abs().max() < 0.02
    shown = server.get("/view_metadata/loras?filename=tests%2Ffuel%20pump.safetensors")
    assert shown["modelspec.title"] == "fuel pump" and shown["modelspec.thumbnail"].startswith("data:image/jpeg")


def test_training_leaves_the_model_as_it_was(server, erased):
    _, found = erased
    fresh = server.run({"demo": BASE["demo"]} | {k.replace("before-", "fresh-"): json.loads(json.dumps(v).replace("before-", "fresh-")) for k, v in pictures("before-pump", ["demo", 0], "a fuel pump").items()})
    assert torch.equal(server.pictures(fresh["fresh-pump"]), server.pictures(found["before-pump"]))


def test_a_cancelled_training_keeps_its_work_and_goes_on(server):
    prompt = BASE | {"train": train(concept="banana", steps=60, preview_every=0), "save": node("SaveErasedLoRA", lora=["train", 0], name="tests/banana", place="output/loras", author="", notes="")}
    number, states = server.queue(prompt), server.base / "user/concept_erasure/states"
    unfinished = server.base / "output/loras/unfinished"
    deadline = time.monotonic() + 120
    while not list(states.glob("*/state.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(4)
    asked = time.monotonic()
    server.post("/interrupt", {})
    entry = server.wait(number)
    assert any(m[0] == "execution_interrupted" for m in entry["status"]["messages"]) and time.monotonic() - asked < 5
    assert [p.name[:7] for p in unfinished.glob("*.safetensors")] == ["banana-"] and list(states.glob("*/state.safetensors"))
    server.run(prompt)
    assert not list(states.glob("*/state.safetensors"))
    prompt["train"]["inputs"]["preview_every"] = 1000  # not the same node to the cache, the same training to us
    server.run(prompt)
    resumed, whole = (load_file(server.base / f"output/loras/tests/{name}.safetensors") for name in ("banana", "banana 2"))
    assert all(torch.equal(resumed[k], whole[k]) for k in whole)


def test_a_model_that_carries_another_lora_is_trained_as_it_is(server, erased, judge):
    prompt = BASE | {"other": node("LoraLoaderModelOnly", model=["demo", 0], lora_name="tests/fuel pump.safetensors", strength_model=1.0),
                     "train": train(model=["other", 0], concept="bus", steps=60, preview_every=0)}
    found = server.run(prompt | pictures("both-bus", ["train", 1], "a bus") | pictures("both-pump", ["train", 1], "a fuel pump") | pictures("both-cat", ["train", 1], "a cat"))
    assert seen(server, judge, found["both-bus"], "bus") <= 0.25 and seen(server, judge, found["both-pump"], "fuel pump") <= 0.25
    assert seen(server, judge, found["both-cat"], "cat") >= 0.75


@pytest.mark.parametrize("name, change, field", [
    ("train", {"concept": "  "}, "concept"), ("train", {"concept": "bus", "replace_with": "bus"}, "replace_with: 'bus'"), ("train", {"recipe": "no such thing"}, "recipe"),
    ("train", {"rank": 0}, "rank"), ("train", {"concept": "a\nb\nc", "replace_with": "x, y"}, "replace_with"), ("train", {"steps": -1}, "steps"),
    ("space", {"vocabulary": "../../../etc/passwd"}, "vocabulary"), ("space", {"vocabulary": "own words", "own_words": " \n"}, "own_words"), ("space", {"candidates": 0}, "top_k"),
    ("save", {"name": "../../escape"}, "name"), ("save", {"name": "/tmp/escape"}, "name"), ("save", {"name": ""}, "name"),
    ("apply", {"lora_name": "../../../x.safetensors"}, "lora_name"), ("apply", {"strength": 1e9}, "strength"), ("advanced", {"learning_rate": 0.0}, "learning_rate"),
    ("advanced", {"templates": "no braces"}, "templates"),
])
def test_bad_input_is_refused_before_anything_runs(server, name, change, field):
    advanced = {k: v[1].get("default") for k, v in server.get("/object_info/EraseAdvanced")["EraseAdvanced"]["input"]["required"].items()}
    prompt = BASE | {
        "advanced": node("EraseAdvanced", **advanced), "train": train(advanced=["advanced", 0], **QUICK),
        "apply": node("ApplyErasedLoRA", model=["demo", 0], lora=["train", 0], lora_name="(the wired LoRA)", strength=1.0),
        "save": node("SaveErasedLoRA", lora=["train", 0], name="x", place="output/loras", author="", notes=""), "show": node("PreviewAny", source=["apply", 2]),
    }
    prompt = json.loads(json.dumps(prompt))
    prompt[name]["inputs"] |= change
    answer = server.post("/prompt", {"prompt": prompt, "client_id": "tests"})
    server.post("/queue", {"clear": True})  # what is valid in the graph would run
    server.post("/interrupt", {})
    assert field in json.dumps(answer["node_errors"][name]), answer


def test_errors_while_running_name_the_field_and_the_remedy(server):
    prompt = {"demo": BASE["demo"], "apply": node("ApplyErasedLoRA", model=["demo", 0], lora_name="(the wired LoRA)", strength=1.0), "show": node("PreviewAny", source=["apply", 2])}
    entry = server.wait(server.queue(prompt))
    error = next(m[1] for m in entry["status"]["messages"] if m[0] == "execution_error")
    assert error["node_type"] == "ApplyErasedLoRA" and error["exception_message"].startswith("lora: nothing is wired in. Connect")


def test_a_file_vocabulary_and_an_own_list(server):
    folder = server.base / "user/concept_erasure/vocabularies"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.txt").write_text("dog\ncat\nfuel pump\npetrol pump\n")
    prompt = {"demo": BASE["demo"], "space": space(vocabulary="mine.txt", own_words="rocket", protect="dog", exclude="cat"), "show": node("PreviewAny", source=["space", 1])}
    text = json.dumps(server.run(prompt)["show"])
    assert "5 concepts from 'mine.txt'" in text and "fuel pump (is erased" in text and "cat (excluded by you" in text and "always protected: dog" in text


def test_zero_takes_what_suits_the_model(server):
    from erasure.hosts.demo import DemoDenoiser

    suits = DemoDenoiser.defaults
    for given in (0.0, 3.0):
        save = node("SaveErasedLoRA", lora=["train", 0], name=f"tests/lambda {given:g}", place="output/loras", author="", notes="")
        server.run(BASE | {"train": train(**QUICK | {"steps": 2, "preserve_strength": given}), "save": save})
        config = json.loads(server.get(f"/view_metadata/loras?filename=tests%2Flambda%20{given:g}.safetensors")["erasure.card"])["config"]
        assert config["preserve_strength"] == (given or suits["preserve_strength"]) and config["learning_rate"] == suits["learning_rate"]


# --- the example workflows ----------------------------------------------------------------------------------------

EXAMPLES = ROOT / "example_workflows"


def to_api(path: Path, info: dict) -> dict:
    """A workflow as the browser saves it -> as the server executes it."""
    graph = json.loads(path.read_text(encoding="utf-8"))
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}
    prompt = {}
    for n in graph["nodes"]:
        if n["type"] == "MarkdownNote":
            continue
        values, inputs = iter(n["widgets_values"]), {}
        spec = {k: v for part in info[n["type"]]["input"].values() for k, v in part.items()}
        for socket in n["inputs"]:
            if "widget" in socket:
                inputs[socket["name"]] = next(values)
                if spec[socket["name"]][1].get("control_after_generate"):
                    next(values)
            if socket.get("link") is not None:
                inputs[socket["name"]] = links[socket["link"]]
        assert next(values, None) is None, f"{n['type']} has more widget values than widgets"
        prompt[str(n["id"])] = {"class_type": n["type"], "inputs": inputs}
    return prompt


def only(prompt: dict, outputs: dict, kind: str) -> list[dict]:
    return [outputs[number] for number, n in prompt.items() if n["class_type"] == kind]


@pytest.mark.parametrize("name, gone, column", [("erase_an_object", ["fuel pump"], "concept"), ("erase_a_style", ["ink"], "style"), ("stack_two_erasers", ["banana", "guitar"], "concept")])
def test_an_example_erases_what_it_says_and_keeps_the_rest(server, judge, name, gone, column):
    prompt = to_api(EXAMPLES / f"{name}.json", server.get("/object_info"))
    for trained in [n["inputs"] for n in prompt.values() if n["class_type"] == "AdversarialEraseTrain"][1:]:
        trained["steps"] = 150  # the first one of a graph proves that its settings are enough
    (shown,) = only(prompt, server.run(prompt), "BeforeAfter")
    labels = next(n["inputs"]["labels"] for n in prompt.values() if n["class_type"] == "BeforeAfter").splitlines()
    before, after = (judge.classify(server.pictures(shown, key)) for key in ("a_images", "b_images"))
    for i, label in enumerate(labels):
        rows = slice(i * 3, i * 3 + 3)
        names, wanted = (judge.concepts, label.removeprefix("a ")) if column == "concept" else (judge.styles, label.split(" in ")[1].removesuffix(" style"))
        was, now = ((getattr(s, f"{column}_probs")[rows].argmax(1) == names.index(wanted)).float().mean() for s in (before, after))
        assert was >= 0.6, f"{label}: {was} before"
        assert (now <= 0.34) if wanted in gone else (now >= 0.6), f"{label}: {now} after"


def test_the_example_that_forecasts_damage_names_neighbours(server):
    prompt = to_api(EXAMPLES / "see_the_damage.json", server.get("/object_info"))
    (shown,) = only(prompt, server.run(prompt), "SensitivityProbe")
    found = shown["spectrum"][0]
    assert found["erased"] == ["dog"] and list(found["sensitivity"])[0] == "dog" and len(found["sensitivity"]) > 100


def test_the_example_that_compares_recipes_shows_less_harm_with_preservation(server):
    prompt = to_api(EXAMPLES / "compare_recipes.json", server.get("/object_info"))
    outputs = server.run(prompt)
    harm = {}
    for number, n in prompt.items():
        if n["class_type"] == "SensitivityProbe":
            recipe = prompt[n["inputs"]["lora"][0]]["inputs"]["recipe"]
            values = sorted(outputs[number]["spectrum"][0]["sensitivity"].values(), reverse=True)
            harm[recipe] = sum(values[1:21]) / 20
    assert harm["ap-ranked"] < harm["esd"], harm


def test_every_node_has_a_help_page_and_english_texts(server):
    import sys

    sys.path.insert(0, str(ROOT / "scripts"))
    import locales

    info = server.get("/object_info")
    assert locales.FILE.read_text(encoding="utf-8") == locales.text(info), "run scripts/locales.py"
    for name in NODES:
        page = server.get(f"/extensions/concept-erasure/docs/{name}.md").decode()
        assert page.startswith("# " + info[name]["display_name"])
