"""The embedded model as an ordinary ComfyUI triple (MODEL, CLIP, VAE), built from the files that ship with the project."""

from __future__ import annotations

import json
from collections.abc import Mapping

import comfy.clip_model
import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
from safetensors.torch import load_file
from torch import Tensor, nn

from .demo import MODEL, DemoDenoiser, check_installed


def _config(part: str) -> dict:
    return json.loads((MODEL / part / "config.json").read_text(encoding="utf-8"))


class _LatentFormat(comfy.latent_formats.LatentFormat):
    """The whitened latents of the embedded autoencoder."""

    def __init__(self):
        self.scale_factor = _config("vae")["scaling_factor"]


class _Model(comfy.supported_models.SD15):
    """Stable Diffusion 1.x in small; `native_side`, `display_name` and `erasure_*defaults` are read by `hosts.comfy`."""

    latent_format = _LatentFormat
    native_side = _config("unet")["sample_size"] * 8
    display_name = "demo"
    erasure_defaults, erasure_style_defaults = DemoDenoiser.defaults, DemoDenoiser.style_defaults


class _Transformer(comfy.clip_model.CLIPTextModel):
    """ComfyUI's CLIP text model with the embedded tokenizer's vocabulary; its pooled output is not projected."""

    def __init__(self, config_dict, dtype, device, operations):
        super().__init__(config_dict, dtype, device, operations)
        width = config_dict["hidden_size"]
        self.text_model.embeddings.token_embedding = operations.Embedding(config_dict["vocab_size"], width, dtype=dtype, device=device)
        nn.init.eye_(self.text_projection.weight)


class _ClipModel(comfy.sd1_clip.SDClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        config = _config("text_encoder")
        special = {"start": config["bos_token_id"], "end": config["eos_token_id"], "pad": config["pad_token_id"]}
        super().__init__(device=device, dtype=dtype, max_length=config["max_position_embeddings"], textmodel_json_config=config, model_class=_Transformer,
                         special_tokens=special, return_projected_pooled=False, model_options=model_options)


class _Clip(comfy.sd1_clip.SD1ClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options=model_options, clip_model=_ClipModel)


class _SDTokenizer(comfy.sd1_clip.SDTokenizer):
    def __init__(self, embedding_directory=None, tokenizer_data={}):
        config = _config("text_encoder")
        super().__init__(tokenizer_path=str(MODEL / "tokenizer"), max_length=config["max_position_embeddings"], embedding_directory=embedding_directory,
                         embedding_size=config["hidden_size"], tokenizer_data=tokenizer_data)


class _Tokenizer(comfy.sd1_clip.SD1Tokenizer):
    def __init__(self, embedding_directory=None, tokenizer_data={}):
        super().__init__(embedding_directory=embedding_directory, tokenizer_data=tokenizer_data, tokenizer=_SDTokenizer)


def load_demo_triple():
    """(MODEL, CLIP, VAE) that stock CLIPTextEncode, EmptyLatentImage, KSampler, VAEDecode and LoraLoader work with.

    Raises:
        ErasureError: the embedded weights are missing from the installation.
    """
    check_installed()
    model = _load_model()
    model.cached_patcher_init = (_model_again, ())  # newer versions copy a MODEL by building it again
    return model, _load_clip(), _load_vae()


def _model_again(disable_dynamic: bool = False):
    return _load_model()


def _load_model():
    weights = load_file(MODEL / "unet" / "diffusion_pytorch_model.safetensors")
    config = _Model(_unet_config())
    names = comfy.utils.unet_to_diffusers(config.unet_config)
    config.set_inference_dtype(comfy.model_management.unet_dtype(model_params=comfy.utils.calculate_parameters(weights)), None)
    model = config.get_model(weights, "", device=None)
    model.load_model_weights({names[name]: tensor for name, tensor in weights.items()}, "")
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=comfy.model_management.unet_offload_device())


def _unet_config() -> dict:
    """diffusers' configuration of the UNet in ComfyUI's terms."""
    c = _config("unet")
    first, levels, blocks = c["block_out_channels"][0], len(c["block_out_channels"]), c["layers_per_block"]
    depth = [int("CrossAttn" in kind) for kind in c["down_block_types"]]
    return {
        "image_size": c["sample_size"], "in_channels": c["in_channels"], "out_channels": c["out_channels"], "model_channels": first,
        "channel_mult": [width // first for width in c["block_out_channels"]], "num_res_blocks": [blocks] * levels,
        "transformer_depth": [d for d in depth for _ in range(blocks)], "transformer_depth_output": [d for d in depth for _ in range(blocks + 1)],
        "transformer_depth_middle": 1, "context_dim": c["cross_attention_dim"], "use_linear_in_transformer": c["use_linear_projection"],
        "adm_in_channels": None, "use_spatial_transformer": True, "legacy": False, "use_temporal_attention": False,
    }


_Model.unet_extra_config = {"num_heads": _config("unet")["attention_head_dim"], "num_head_channels": -1}  # diffusers counts heads under that name


def _load_clip():
    weights = load_file(MODEL / "text_encoder" / "model.safetensors")
    target = comfy.supported_models_base.ClipTarget(_Tokenizer, _Clip)
    clip = comfy.sd.CLIP(target, parameters=comfy.utils.calculate_parameters(weights))
    clip.load_sd(dict(weights))
    return clip


def _load_vae():
    c = _config("vae")
    widths = c["block_out_channels"]
    ddconfig = {
        "double_z": True, "z_channels": c["latent_channels"], "resolution": c["sample_size"], "in_channels": 3, "out_ch": 3, "ch": widths[0],
        "ch_mult": [width // widths[0] for width in widths], "num_res_blocks": c["layers_per_block"], "attn_resolutions": [], "dropout": 0.0,
    }
    weights: Mapping[str, Tensor] = load_file(MODEL / "vae" / "diffusion_pytorch_model.safetensors")
    vae = comfy.sd.VAE(sd=dict(weights), config={"params": {"ddconfig": ddconfig, "embed_dim": c["latent_channels"]}})
    for module in vae.first_stage_model.modules():
        if isinstance(module, nn.GroupNorm):  # ComfyUI always builds 32 groups; with the wrong number it decodes silently wrong
            module.num_groups = c["norm_num_groups"]
    return vae
