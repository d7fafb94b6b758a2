"""A checkpoint in one file needs nothing else: family by its header, shipped configurations and tokenizer, no network."""

import json
import math
import re
import shutil
import socket

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from erasure.cli import main
from erasure.errors import ErasureError
from erasure.hosts import single_file
from erasure.hosts.demo import MODEL
from erasure.hosts.diffusers import DiffusersDenoiser, load_pipeline

UNETS = {"sd1": 859_520_964, "sd2": 865_910_724, "sd2-v": 865_910_724, "sdxl": 2_567_463_684}
TEXT_ENCODERS = {"sd1": [123_060_480], "sd2": [340_387_840], "sd2-v": [340_387_840], "sdxl": [123_060_480, 694_659_840]}
SPEC = "modelspec.architecture"


# --- diffusers -> original key names -------------------------------------------------------------------------------

def _rename(key, *pairs):
    for old, new in pairs:
        key = key.replace(old, new)
    return key


def _unet_key(key, per_block, attends):
    """Original name of a UNet weight; `attends`: up blocks with attention, whose upsampler stands one place later."""
    top = DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"] | DIFFUSERS_TO_LDM_MAPPING["unet"]["addition_embed_type"]
    if key in top:
        return top[key]
    side, block, kind, i, rest = re.match(r"(down|up|mid)_block\w*\.(?:(\d+)\.)?([a-z]+)\.(\d+)\.(.*)", key).groups()
    if kind == "resnets":
        rest = _rename(rest, ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("norm2", "out_layers.0"), ("conv2", "out_layers.3"),
                       ("time_emb_proj", "emb_layers.1"), ("conv_shortcut", "skip_connection"))
    if side == "mid":
        return f"middle_block.{2 * int(i) + (kind == 'attentions')}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{(int(block) + 1) * (per_block + 1)}.0.{rest.replace('conv', 'op')}"
    if kind == "upsamplers":
        return f"output_blocks.{(int(block) + 1) * (per_block + 1) - 1}.{1 + (int(block) in attends)}.{rest}"
    number = int(block) * (per_block + 1) + int(i) + (side == "down")
    return f"{'input' if side == 'down' else 'output'}_blocks.{number}.{int(kind == 'attentions')}.{rest}"


def _vae_key(key, blocks):
    if key in DIFFUSERS_TO_LDM_MAPPING["vae"]:
        return DIFFUSERS_TO_LDM_MAPPING["vae"][key]
    key = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{blocks - 1 - int(m[1])}", key.replace("down_blocks", "down"))
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    return _rename(key, ("mid_block.attentions.0", "mid.attn_1"), (".resnets.", ".block."), ("samplers.0", "sample"), ("conv_shortcut", "nin_shortcut"),
                   ("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"))


def _openclip(state):
    """OpenCLIP's names for a CLIP text encoder's weights: q, k and v in one."""
    top, out = DIFFUSERS_TO_LDM_MAPPING["openclip"]["layers"], {}
    for key, value in state.items():
        if key in top:
            out[top[key]] = value.T.contiguous() if key == "text_projection.weight" else value
        elif ".q_proj." in key:
            whole = torch.cat([state[key.replace("q_proj", f"{x}_proj")] for x in "qkv"])
            out[_openclip_key(key).replace(".q_proj.", ".in_proj_")] = whole
        elif ".k_proj." not in key and ".v_proj." not in key:
            out[_openclip_key(key)] = value
    return out


def _openclip_key(key):
    return "transformer." + _rename(key, *DIFFUSERS_TO_LDM_MAPPING["openclip"]["transformer"].items())


def _text_state(model):
    """State with every key under `text_model.` or `text_projection.`, whatever the transformers version."""
    return {k if k.startswith("text_") else f"text_model.{k}": v for k, v in model.state_dict().items()}


def to_original(unet, vae, texts, family):
    """The weights of a pipeline under the names of the original code: {key: tensor}."""
    attends = [i for i, kind in enumerate(unet.config.up_block_types) if "CrossAttn" in kind]
    out = {"model.diffusion_model." + _unet_key(k, unet.config.layers_per_block, attends): v for k, v in unet.state_dict().items()}
    for key, value in vae.state_dict().items():
        name = _vae_key(key, len(vae.config.block_out_channels))
        out["first_stage_model." + name] = value[..., None, None] if "attn_1" in name and value.ndim == 2 else value
    clip, openclip = {"sd1": ("cond_stage_model.", None), "sd2": (None, "cond_stage_model."), "sdxl": ("conditioner.embedders.0.", "conditioner.embedders.1.")}[family]
    if clip:
        out |= {f"{clip}transformer.{k}": v for k, v in _text_state(texts[0]).items()}
        out[f"{clip}transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]  # as old files have it
    if openclip:
        out |= {f"{openclip}model.{k}": v for k, v in _openclip(_text_state(texts[-1])).items()}
        out[f"{openclip}model.logit_scale"] = torch.ones(())
        if family == "sd2":
            out[f"{openclip}model.text_projection"] = torch.ones(2 * [texts[0].config.hidden_size])  # there, but unused
    return out


def build(folder):
    """(unet, vae, text encoders) with random weights from a layout's configurations."""
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder, subfolder="unet"))
    vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder, subfolder="vae"))
    texts = []
    for name in ("text_encoder", "text_encoder_2"):
        if (folder / name).is_dir():
            config = CLIPTextConfig.from_pretrained(folder / name)
            texts.append({"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}[config.architectures[0]](config))
    return unet.eval(), vae.eval(), [t.eval() for t in texts]


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.fixture
def no_network(monkeypatch):
    """Any connection fails the test, also where the hub's offline mode would not be asked."""
    def refuse(*_args, **_kwargs):
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


# --- the real sizes, without their weights ---------------------------------------------------------------------------

@pytest.fixture(scope="module")
def headers():
    """{layout: its shapes under the original names}, from models without memory."""
    out = {}
    for layout in ("sd1", "sd2", "sdxl"):
        with torch.device("meta"):
            out[layout] = {k: tuple(v.shape) for k, v in to_original(*build(single_file.LAYOUTS / layout), layout).items()}
    return out


@pytest.mark.parametrize("layout", UNETS)
def test_shipped_configurations_build_the_published_models(layout):
    with torch.device("meta"):
        unet, vae, texts = build(single_file.LAYOUTS / layout)
    assert parameters(unet) == UNETS[layout] and parameters(vae) == 83_653_863
    assert [parameters(t) for t in texts] == TEXT_ENCODERS[layout]
    assert unet.config.sample_size * 8 == vae.config.sample_size == {"sd1": 512, "sd2": 512, "sd2-v": 768, "sdxl": 1024}[layout]


@pytest.mark.parametrize("family, marks, metadata, folder, prediction, zero_snr", [
    ("sd1", [], {}, "sd1", "epsilon", False),
    ("sd1", [], {"modelspec.prediction_type": "v"}, "sd1", "v_prediction", False),
    ("sd2", [], {}, "sd2-v", "v_prediction", False),
    ("sd2", [], {SPEC: "stable-diffusion-v2-768-v"}, "sd2-v", "v_prediction", False),
    ("sd2", [], {SPEC: "stable-diffusion-v2-512"}, "sd2", "epsilon", False),
    ("sd2", [], {"modelspec.predict_key": "epsilon"}, "sd2", "epsilon", False),
    ("sd2", [], {"prediction_type": "v_prediction", SPEC: "stable-diffusion-v2-512"}, "sd2-v", "v_prediction", False),
    ("sdxl", [], {}, "sdxl", "epsilon", False),
    ("sdxl", ["ztsnr"], {}, "sdxl", "epsilon", False),
    ("sdxl", ["v_pred"], {"modelspec.prediction_type": "epsilon"}, "sdxl", "v_prediction", False),
    ("sdxl", ["v_pred", "ztsnr"], {}, "sdxl", "v_prediction", True),
])
def test_a_header_tells_family_and_prediction(headers, family, marks, metadata, folder, prediction, zero_snr):
    layout = single_file.layout_of("x", headers[family] | dict.fromkeys(marks, (0,)), metadata)
    scheduler = layout._replace(pads={}).components()["scheduler"]
    assert layout.folder == single_file.LAYOUTS / folder
    assert (scheduler.config.prediction_type, scheduler.config.rescale_betas_zero_snr) == (prediction, zero_snr)
    assert (scheduler.alphas_cumprod[-1] < 1e-6) == zero_snr


def _inpainting(shapes):
    return shapes | {"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)}


def _without(*starts):
    return lambda shapes: {k: s for k, s in shapes.items() if not k.startswith(starts)}


@pytest.mark.parametrize("family, change, problem", [
    ("sd1", _inpainting, "inpainting"), ("sd2", _inpainting, "inpainting"), ("sdxl", _inpainting, "inpainting"),
    ("sdxl", _without("model.diffusion_model.middle_block.1.transformer_blocks.9"), "distilled"),
    ("sd1", _without("cond_stage_model."), "no text encoder"),
    ("sdxl", _without("conditioner.embedders.1."), "no text encoder"),  # the refiner's one encoder is embedder 0
    ("sdxl", _without("first_stage_model."), "no autoencoder"),
    ("sd1", _without("cond_stage_model.", "first_stage_model."), "no text encoder and no autoencoder"),
    ("sd1", _without("model."), "no UNet"),
    ("sdxl", lambda shapes: shapes | {"edm_mean": (4,)}, "EDM"),
    ("sd1", lambda _: {"double_blocks.0.img_attn.norm.key_norm.scale": (128,)}, "no UNet and no text encoder and no autoencoder"),
    ("sd1", lambda _: {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (3, 1), "first_stage_model.decoder.x": (1,), "text_encoders.clip_l.x": (1,)}, "no text encoder"),
])
def test_other_models_are_refused(headers, family, change, problem):
    with pytest.raises(ErasureError, match=problem) as error:
        single_file.layout_of("x", change(headers[family]), {})
    assert error.value.field == "model" and "--model-config" in error.value.remedy


def test_the_tokenizer_is_clips():
    tokenizer, padded_with_zero = single_file.clip_tokenizer("<|endoftext|>"), single_file.clip_tokenizer("!")
    assert tokenizer("a photo of a cat")["input_ids"] == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("It's  ##1, naïve!")["input_ids"][1:-1] == [585, 568, 15483, 272, 267, 1097, 35689, 563, 256]
    assert len(tokenizer) == 49408 and tokenizer.model_max_length == 77 and tokenizer.decode([320, 2368]).strip() == "a cat"
    whole = {"padding": "max_length", "truncation": True, "max_length": 77}
    assert tokenizer("a cat", **whole)["input_ids"] == [49406, 320, 2368] + [49407] * 74
    assert padded_with_zero("a cat", **whole)["input_ids"] == [49406, 320, 2368, 49407] + [0] * 73


# --- with weights: small models in the original layout ---------------------------------------------------------------

def _predictions(denoiser):
    cond = denoiser.encode(["a bus", ""])
    x = torch.randn(2, *denoiser.latent_shape, generator=torch.Generator().manual_seed(0))
    return [*cond.tensors.values(), denoiser.denoise(x, denoiser.sigmas[[100, 700]], cond), denoiser.decode(x)]


def _assert_same(pipeline, reference):
    for ours, theirs in zip(_predictions(DiffusersDenoiser(pipeline)), _predictions(DiffusersDenoiser(reference)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_embedded_model_in_one_file_predicts_the_same(tmp_path, no_network):
    folder = load_pipeline(MODEL, "cpu")
    weights = to_original(folder.unet, folder.vae, [folder.text_encoder], "sd1")
    save_file(weights, tmp_path / "demo.safetensors")
    _assert_same(load_pipeline(tmp_path / "demo.safetensors", "cpu", config=MODEL), folder)


SMALL = {
    "unet": {"sample_size": 8, "layers_per_block": 1, "addition_time_embed_dim": 8},
    "vae": {"sample_size": 64, "layers_per_block": 1, "block_out_channels": [32, 32, 32, 32]},
    "text_encoder": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "text_encoder_2": {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 64},
}


def _shrink(folder):
    """Make a layout's models tiny, their kind of blocks kept."""
    for part, changes in SMALL.items():
        path = folder / part / "config.json"
        if path.is_file():
            config = json.loads(path.read_text())
            changes = {k: v for k, v in changes.items() if k in config}
            if part == "unet":
                blocks, xl = len(config["block_out_channels"]), "addition_time_embed_dim" in config
                changes |= {"block_out_channels": [32, 64, 64, 64][:blocks], "attention_head_dim": 2, "cross_attention_dim": 96 if xl else 32}
                if xl:
                    changes |= {"transformer_layers_per_block": [1, 1, 2], "projection_class_embeddings_input_dim": 64 + 6 * 8}
            path.write_text(json.dumps(config | changes))


@pytest.mark.parametrize("layout", UNETS)
def test_a_small_checkpoint_of_each_family_loads_alone(tmp_path, monkeypatch, no_network, layout):
    family = layout.removesuffix("-v")
    shutil.copytree(single_file.LAYOUTS, tmp_path / "layouts")
    monkeypatch.setattr(single_file, "LAYOUTS", tmp_path / "layouts")
    _shrink(tmp_path / "layouts" / layout)
    torch.manual_seed(0)
    unet, vae, texts = build(tmp_path / "layouts" / layout)
    monkeypatch.setitem(single_file.FAMILIES, family, single_file.FAMILIES[family]._replace(unet_parameters=parameters(unet)))
    weights = to_original(unet, vae, texts, family)
    assert sum(math.prod(v.shape) for k, v in weights.items() if k.startswith("model.")) == parameters(unet)
    save_file(weights, tmp_path / "x.safetensors", {"modelspec.prediction_type": "epsilon"} if layout == "sd2" else None)

    parts = single_file.Layout(tmp_path / "layouts" / layout, single_file.FAMILIES[family].pads, {"prediction_type": "v_prediction" if layout == "sd2-v" else "epsilon"}).components()
    parts |= {"unet": unet, "vae": vae, "text_encoder": texts[0]}
    reference = (StableDiffusionXLPipeline(**parts, text_encoder_2=texts[1]) if family == "sdxl" else
                 StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False))
    _assert_same(load_pipeline(tmp_path / "x.safetensors", "cpu"), reference)
    if layout == "sd2":  # a name overrides what the file says
        assert load_pipeline(tmp_path / "x.safetensors", "cpu", config="sd2").scheduler.config.prediction_type == "epsilon"


@pytest.mark.parametrize("config, field", [("no/such/folder", "model-config"), ("stabilityai/sdxl", "model-config"), (str(MODEL), "model")])
def test_a_configuration_that_does_not_fit_is_refused_without_the_network(tmp_path, capsys, no_network, config, field):
    save_file({"model.diffusion_model.time_embed.0.weight": torch.zeros(4, 4)}, tmp_path / "x.safetensors")
    argv = ["erase", "--model", str(tmp_path / "x.safetensors"), "--model-config", config, "--concept", "bus", "--out", str(tmp_path / "a.safetensors")]
    assert main(argv) == 2 and capsys.readouterr().err.startswith(f"error: {field}: ")
