"""The result is an ordinary LoRA file: identity at zero, exact off switch, no trace, loads everywhere."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from erasure.adapter import ErasureAdapter, LoraNetwork, load_adapter, read_metadata, save_adapter
from erasure.errors import ErasureError
from erasure.sampling import generate

CARD = {"concepts": [{"name": "fuel pump", "target": ""}], "recipe": "ap-ranked", "config": {"seed": 3, "learning_rate": 1e-3}, "steps_done": 5,
        "base": {"name": "tiny", "architecture": "stable-diffusion-v1", "version": "sd_1.5", "resolution": [16, 16], "hash": "ab" * 32}}


def make(denoiser, parameters="xattn", rank=4, size=0.3):
    """A LoRA with random, non-zero deltas."""
    lora = LoraNetwork.create(denoiser, parameters, rank, rank, seed=1)
    gen = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for layer in lora.layers:
            layer.up.copy_(size * torch.randn(layer.up.shape, generator=gen))
    return lora


def predict(denoiser):
    gen = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 8, 8, generator=gen) * 5
    return denoiser.directions(x, denoiser.sigmas[[300, 700]], denoiser.encode(["a bus", "a cat"]))


@pytest.mark.parametrize("parameters", ["xattn", "xattn-kv", "selfattn", "noxattn", "full"])
def test_new_layers_change_nothing_and_off_is_the_base_bit_for_bit(tiny, parameters):
    base = predict(tiny)
    fresh = LoraNetwork.create(tiny, parameters, 4, 4, seed=0)
    with fresh:
        assert torch.equal(predict(tiny), base)
    lora = make(tiny, parameters)
    with lora:
        assert not torch.equal(predict(tiny), base)
        with lora.at_strength(0):
            assert torch.equal(predict(tiny), base)
    assert torch.equal(predict(tiny), base)


def test_hooks_leave_no_trace_even_after_a_failure(tiny):
    names = [n for n, _ in tiny.network.named_modules()]
    with pytest.raises(RuntimeError), make(tiny):
        raise RuntimeError
    assert not any(m._forward_hooks for m in tiny.network.modules())
    assert [n for n, _ in tiny.network.named_modules()] == names


def test_a_hook_equals_merged_weights(tiny):
    lora = make(tiny, "full")
    with lora:
        hooked = predict(tiny)
    with torch.no_grad():
        for name, layer in zip(lora.names, lora.layers):
            module = tiny.network.get_submodule(name)
            delta = layer.scale * torch.einsum("or...,ri...->oi...", layer.up.flatten(1), layer.down)
            module.weight += delta
    assert torch.allclose(predict(tiny), hooked, atol=2e-3)


def test_adapters_add_up(tiny):
    a = ErasureAdapter.from_network(make(tiny), tiny, CARD)
    with a.on(tiny, 0.5), a.on(tiny, 0.5):
        twice = predict(tiny)
    with a.on(tiny, 1.0):
        assert torch.allclose(predict(tiny), twice, atol=1e-4)


@pytest.mark.parametrize("parameters", ["xattn", "full"])
def test_save_and_load_are_exact(tiny, tmp_path, parameters):
    adapter = ErasureAdapter.from_network(make(tiny, parameters), tiny, CARD)
    again = load_adapter(save_adapter(adapter, tmp_path / "a.safetensors"))
    assert again.card == CARD and again.layers.keys() == adapter.layers.keys()
    assert all(torch.equal(again.layers[k].up, f.up) and torch.equal(again.layers[k].down, f.down) and again.layers[k].alpha == f.alpha for k, f in adapter.layers.items())


@pytest.mark.parametrize("parameters", ["xattn", "selfattn", "full"])
def test_diffusers_loads_the_file_with_every_layer_and_draws_the_same_picture(tiny, tmp_path, parameters):
    adapter = ErasureAdapter.from_network(make(tiny, parameters), tiny, CARD)
    save_adapter(adapter, tmp_path / "a.safetensors")
    with adapter.on(tiny):
        ours = generate(tiny, ["a bus"], [0], steps=5)
    pipeline = tiny.pipeline
    pipeline.load_lora_weights(str(tmp_path), weight_name="a.safetensors")
    loaded = [n for n, _ in pipeline.unet.named_modules() if n.endswith("lora_A.default_0")]
    assert len(loaded) == len(adapter.layers)
    theirs = generate(tiny, ["a bus"], [0], steps=5)
    pipeline.unload_lora_weights()
    effect = (generate(tiny, ["a bus"], [0], steps=5) - ours).abs().max()
    assert effect > 1e-2 and (ours - theirs).abs().max() < 0.02 * effect


def test_metadata_as_model_managers_read_it(tiny, tmp_path):
    path = save_adapter(ErasureAdapter.from_network(make(tiny), tiny, CARD), tmp_path / "no pumps.safetensors", author="me", thumbnail=b"\xff\xd8jpeg")
    meta = read_metadata(path)
    assert all(isinstance(v, str) for v in meta.values())
    assert meta["modelspec.architecture"] == "stable-diffusion-v1/lora" and meta["modelspec.title"] == "no pumps" and meta["modelspec.author"] == "me"
    assert meta["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")
    assert not meta["ss_base_model_version"].startswith("sdxl_") and meta["ss_v2"] == "False"  # A1111: SD1
    assert "sd_1.5" in meta["ss_base_model_version"]  # ComfyUI-Lora-Manager's substring
    assert (meta["ss_network_module"], meta["ss_network_dim"], meta["ss_network_alpha"]) == ("networks.lora", "4", "4.0")
    assert "fuel pump" in meta["modelspec.usage_hint"]
    assert "ss_tag_frequency" not in meta and "modelspec.trigger_phrase" not in meta  # would be offered as a prompt
    assert int.from_bytes(path.read_bytes()[:8], "little") < 1 << 20


def test_the_weights_hash_survives_a_change_of_metadata(tiny, tmp_path):
    adapter = ErasureAdapter.from_network(make(tiny), tiny, CARD)
    a = read_metadata(save_adapter(adapter, tmp_path / "a.safetensors", notes="one"))
    b = read_metadata(save_adapter(adapter, tmp_path / "b.safetensors", notes="two"))
    assert a["sshs_model_hash"] == b["sshs_model_hash"] and a["modelspec.description"] != b["modelspec.description"]


def test_equal_adapters_give_equal_bytes(tiny, tmp_path):
    adapter = ErasureAdapter.from_network(make(tiny), tiny, CARD)
    assert save_adapter(adapter, tmp_path / "a/x.safetensors").read_bytes() == save_adapter(adapter, tmp_path / "b/x.safetensors").read_bytes()


def test_another_base_is_noticed(tiny):
    card = {**CARD, "base": {**CARD["base"], "fingerprint": tiny.fingerprint()}}
    adapter = ErasureAdapter.from_network(make(tiny), tiny, card)
    assert adapter.base_mismatch(tiny) is None
    with torch.no_grad():
        for p in tiny.network.parameters():
            p.mul_(1.01)
    assert "another checkpoint" in adapter.base_mismatch(tiny)


@pytest.mark.parametrize("damage", ["missing layer", "wrong shape", "not finite", "not a lora", "two alphas", "no rank", "odd factors", "truncated", "broken card", "pickle"])
def test_a_bad_file_is_refused_with_a_reason(tiny, tmp_path, damage):
    adapter = ErasureAdapter.from_network(make(tiny), tiny, CARD)
    path = save_adapter(adapter, tmp_path / "a.safetensors")
    with safe_open(path, framework="pt") as f:
        meta, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
    first = next(k for k in tensors if k.endswith("lora_up.weight"))
    if damage == "broken card":
        save_file(tensors, path, {**meta, "erasure.card": "{not json"})
        assert load_adapter(path).card == {}
        return
    if damage == "missing layer":
        tensors = {k.replace("lora_unet_", "lora_unet_other_"): v for k, v in tensors.items()}
    elif damage == "wrong shape":
        tensors[first] = torch.zeros(7, tensors[first].shape[1], dtype=torch.float16)
    elif damage == "not finite":
        tensors[first] = tensors[first] * float("nan")
    elif damage == "two alphas":
        tensors[first.replace(".lora_up.weight", ".alpha")] = torch.ones(2)
    elif damage == "no rank":
        tensors[first], tensors[first.replace("_up", "_down")] = torch.zeros(32, 0), torch.zeros(0, 32)
    elif damage == "odd factors":
        tensors[first] = torch.tensor(1.0)
    elif damage == "not a lora":
        tensors = {"weight": torch.zeros(2)}
    save_file(tensors, path, meta)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    if damage == "pickle":
        path = path.rename(tmp_path / "a.pt")
    with pytest.raises(ErasureError, match="^adapter: "):
        load_adapter(path).on(tiny)


def test_non_finite_weights_are_never_written(tiny, tmp_path):
    adapter = ErasureAdapter.from_network(make(tiny, size=float("inf")), tiny, CARD)
    with pytest.raises(ErasureError, match="finite"):
        save_adapter(adapter, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_metadata_over_the_limit_is_refused(tiny, tmp_path):
    with pytest.raises(ErasureError, match="1 MiB"):
        save_adapter(ErasureAdapter.from_network(make(tiny), tiny, CARD), tmp_path / "a.safetensors", notes="x" * (1 << 20))


def test_card_is_json(tiny, tmp_path):
    path = save_adapter(ErasureAdapter.from_network(make(tiny), tiny, CARD), tmp_path / "a.safetensors")
    assert json.loads(read_metadata(path)["erasure.card"]) == CARD
