"""Erase on small random models of ComfyUI's own classes; prints one JSON object. Run by test_architectures.py."""

from __future__ import annotations

import json
import sys

sys.argv = [sys.argv[0], "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models as known  # noqa: E402
import torch  # noqa: E402

from erasure.adapter import state_dict  # noqa: E402
from erasure.hosts.comfy import ComfyDenoiser  # noqa: E402
from erasure.hosts.comfy_demo import load_demo_triple  # noqa: E402
from erasure.recipes import configure  # noqa: E402
from erasure.trainer import EraseTrainer  # noqa: E402

WIDTH = 128  # of the demo model's text encoder, which serves them all
SIDE = 64
UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 64, "channel_mult": [1, 2], "num_res_blocks": [1, 1], "transformer_depth": [0, 1],
    "transformer_depth_output": [0, 0, 1, 1], "transformer_depth_middle": 1, "context_dim": WIDTH, "use_spatial_transformer": True, "legacy": False,
    "adm_in_channels": None, "use_temporal_attention": False, "use_linear_in_transformer": False,
}


class VPrediction(known.SD20):
    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.V_PREDICTION


def configs() -> dict:
    adm = {"num_classes": "sequential", "adm_in_channels": WIDTH + 6 * 256}
    mmdit = {"in_channels": 16, "out_channels": 16, "patch_size": 2, "depth": 2, "input_size": None, "adm_in_channels": WIDTH, "num_patches": 64, "pos_embed_max_size": 8,
             "pos_embed_scaling_factor": None, "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": WIDTH, "out_features": 128}}}
    flux = {"image_model": "flux", "in_channels": 16, "out_channels": 16, "patch_size": 2, "vec_in_dim": WIDTH, "context_in_dim": WIDTH, "hidden_size": 128, "mlp_ratio": 2.0, "num_heads": 2,
            "depth": 1, "depth_single_blocks": 1, "axes_dim": [16, 24, 24], "theta": 10000, "qkv_bias": True, "guidance_embed": True}
    return {
        "sd15": known.SD15(UNET), "sd2-v": VPrediction(UNET | {"use_linear_in_transformer": True}), "sdxl": known.SDXL(UNET | adm | {"use_linear_in_transformer": True}),
        "sd3": known.SD3(mmdit), "flux": known.Flux(flux),
    }


def build(config):
    """A random network of this architecture as a MODEL."""
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "")
    gen = torch.Generator().manual_seed(0)
    for name, parameter in model.diffusion_model.named_parameters():
        with torch.no_grad():
            spread = parameter.shape[-1] ** -0.5 if parameter.dim() == 2 else 0.1
            random = torch.randn(parameter.shape, generator=gen) * spread
            parameter.copy_(random if parameter.dim() > 1 else torch.full(parameter.shape, float(name.endswith(("weight", "scale")))))
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device)


def sample(model, clip):
    """Predictions at three noise levels."""
    with ComfyDenoiser(model, clip, side=SIDE) as d, torch.no_grad():
        sigma = d.sigmas[[len(d.sigmas) // 5, len(d.sigmas) // 2, len(d.sigmas) * 9 // 10]]
        x = d.start_latents(torch.randn((3, *d.latent_shape), generator=torch.Generator().manual_seed(1)), sigma)
        return d.denoise(x, sigma, d.encode(["a bus", "a dog", ""]))


def check(model, clip) -> dict:
    before = sample(model, clip)
    with ComfyDenoiser(model, clip, side=SIDE) as d:
        config = configure(d, "ap-ranked", ["bus"], **{"vocabulary": "demo", "candidates": 12, "centers": 6, "steps": 30, "trajectories": 2, "trajectory_steps": 5, "candidate_steps": 4,
                           "search_every": 10, "search_top": 4, "learning_rate": 1e-2, "rank": 4, "gradient_checkpointing": True})
        result = EraseTrainer(d, config).run()
        facts = {"architecture": d.architecture, "version": d.base_version, "layers": len(result.adapter.layers), "names": sorted(result.adapter.layers)[:2]}
        hooks = sum(len(m._forward_hooks) for m in d.network.modules()) + sum("forward" in vars(m) for m in d.network.modules())
        with result.adapter.on(d), torch.no_grad():
            hooked = sample(model, clip)
    lora = state_dict(result.adapter)
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)
    loaded = sample(patched, clip)
    erased = [r["erase"] for r in result.history]
    return facts | {
        "off": float((sample(model, clip) - before).abs().max()), "hooks": hooks, "patched": len(patched.patches), "difference": float((loaded - hooked).abs().max()),
        "effect": float((hooked - before).abs().max()), "first": sum(erased[:6]) / 6, "last": sum(erased[-6:]) / 6,
    }


def as_on_a_gpu(load):
    """Moving weights to a card replaces them; a change of number format and back does the same on a CPU."""
    def load_and_move(models, **options):
        load(models, **options)
        for model in models:
            model.model.to(torch.float64).to(torch.float32)

    return load_and_move


def main() -> None:
    comfy.model_management.load_models_gpu = as_on_a_gpu(comfy.model_management.load_models_gpu)
    with torch.inference_mode():  # as a node runs
        _, clip, _ = load_demo_triple()
        print(json.dumps({name: check(build(config), clip) for name, config in configs().items()}))


if __name__ == "__main__":
    main()
