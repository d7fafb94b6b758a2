"""The theorem, on the embedded model: the concept was there, now it is not, its neighbours did not move."""

import json

import pytest
import torch

from erasure.adapter import load_adapter
from erasure.cli import main
from erasure.evaluation.judge import Judge
from erasure.evaluation.scores import Plan, recognised
from erasure.hosts.demo import JUDGE, MODEL

STYLES = ("noto", "blueprint", "fluent", "ink", "sepia", "pencil sketch", "neon")
SAMPLER = {"steps": 10, "guidance": 4.0}


@pytest.fixture(scope="module")
def judge():
    return Judge.load(JUDGE)


def plan_of(*names):
    """Each name in every style, one picture each."""
    rows = [(f"a {n} in {s} style", n, s, i) for n in names for i, s in enumerate(STYLES)]
    return Plan(*map(tuple, zip(*rows)))


def share(denoiser, judge, plan):
    return recognised(denoiser, judge, plan, **SAMPLER)[:, 0].float().mean().item()


@pytest.fixture(scope="module")
def erased(tmp_path_factory):
    """A fuel-pump eraser, made by the command a user runs."""
    out = tmp_path_factory.mktemp("erased") / "fuel-pump.safetensors"
    assert main(["erase", "--concept", "fuel pump", "--steps", "160", "--out", str(out)]) == 0
    return out


def test_the_weights_that_ship_fit_the_promise():
    files = [p for folder in (MODEL, JUDGE) for p in folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 24 << 20
    assert not [p for p in files if p.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


def test_the_concept_was_there_now_it_is_not_its_neighbours_did_not_move(demo, judge, erased):
    target, kept = plan_of("fuel pump"), plan_of("bus", "church", "banana", "television")
    adapter = load_adapter(erased)
    assert share(demo, judge, target) >= 0.7
    before = share(demo, judge, kept)
    with adapter.on(demo):
        assert share(demo, judge, target) <= 0.15
        assert share(demo, judge, kept) >= before - 0.11


def test_the_report_beside_the_file(erased):
    report = json.loads(erased.with_name("fuel-pump.report.json").read_text())
    assert report["steps_done"] == 160 and len(report["history"]) == 160 and report["network_evaluations"]["backwards"] > 0
    assert report["seconds"] > 0 and report["peak_memory_mb"] and report["preserved"]


def test_neutral_prompts_are_not_where_the_harm_is(erased, tmp_path, capsys):
    """The paper's observation, through the command a user runs."""
    assert main(["probe", "--adapter", str(erased), "--space", "demo", "--latents", "2", "--plot", str(tmp_path / "s.png"), "--json", str(tmp_path / "s.json")]) == 0
    found = json.loads((tmp_path / "s.json").read_text())
    values = list(found["sensitivity"].values())
    assert values == sorted(values, reverse=True) and len(values) >= 142
    assert found["sensitivity"]["fuel pump"] == values[0]  # nothing is changed more than what is erased
    assert found["neutral"]["a photo"]["share_harmed_more"] > 0.05
    assert (tmp_path / "s.png").stat().st_size > 10_000 and "most harmed" in capsys.readouterr().out


def test_compare_draws_what_the_adapter_does(erased, tmp_path):
    from PIL import Image

    out = tmp_path / "grid.png"
    assert main(["compare", "--adapter", str(erased), "--prompts", "a fuel pump", "a bus", "--strengths", "0", "0.5", "1", "1.5", "--seeds", "0", "--steps", "5", "--out", str(out)]) == 0
    picture = Image.open(out)
    assert picture.width > picture.height > 300


def test_evaluate_scores_every_unit(erased, tmp_path, monkeypatch):
    from erasure.evaluation import scores

    whole = scores.demo_plan(1, focus=["fuel pump"])
    rows = [i for i, o in enumerate(whole.objects) if o in ("fuel pump", "bus", "church", "cat")]
    part = Plan(*(tuple(v[i] for i in rows) for v in (whole.prompts, whole.objects, whole.styles, whole.seeds)))
    monkeypatch.setattr(scores, "demo_plan", lambda *_a, **_k: part)
    found = {}
    for strength in ("1", "0.2"):
        assert main(["evaluate", "--adapter", str(erased), "--steps", "8", "--strength", strength, "--json", str(tmp_path / "e.json")]) == 0
        found[strength] = json.loads((tmp_path / "e.json").read_text())
    whole, faint = found["1"], found["0.2"]
    assert whole["erased"]["fuel pump"]["after"] < whole["erased"]["fuel pump"]["before"]
    assert "fuel pump" not in whole["kept"]["units"] and {"bus", "church", "cat"} <= set(whole["kept"]["units"])
    assert faint["strength"] == 0.2 and faint["sensitivity"]["kept"] < 0.5 * whole["sensitivity"]["kept"]  # the harm is measured at that strength, too


def test_scores_travel_in_the_file_without_changing_its_weights(erased, tmp_path, capsys):
    from erasure.adapter import read_metadata, store_scores

    path = tmp_path / "copy.safetensors"
    path.write_bytes(erased.read_bytes())
    share = {"before": 0.9, "after": 0.0, "drop": 0.9}
    store_scores(path, {"erased": {"fuel pump": share}, "kept": share, "worst10": share, "nearest10": share})
    before, after = read_metadata(erased), read_metadata(path)
    assert {k for k in before if before[k] != after[k]} == {"erasure.card"}
    assert main(["inspect", str(path)]) == 0 and "fuel pump 90% -> 0%" in capsys.readouterr().out


def test_a_single_file_checkpoint_is_read_with_its_configuration(tmp_path, capsys):
    """The embedded model's own UNet keys are not a checkpoint: the error says so; nothing is downloaded."""
    from safetensors.torch import save_file

    save_file({"model.diffusion_model.time_embed.0.weight": torch.zeros(4, 4)}, tmp_path / "x.safetensors")
    assert main(["erase", "--model", str(tmp_path / "x.safetensors"), "--concept", "bus", "--out", str(tmp_path / "a.safetensors")]) == 2
    assert "--model-config" in capsys.readouterr().err


def test_the_demo_command_ends_with_one_picture(tmp_path, capsys):
    from PIL import Image

    assert main(["demo", "--steps", "10", "--out", str(tmp_path)]) == 0
    assert {"demo.png", "fuel-pump.safetensors", "fuel-pump.report.json", "scores.json", "probe.json"} <= {p.name for p in tmp_path.iterdir()}
    assert Image.open(tmp_path / "demo.png").height > 900 and "points lost" in capsys.readouterr().out
