"""A ComfyUI MODEL and CLIP as a Denoiser, in process: the user's own weights, dtype and loaded LoRAs, no second copy.

Predictions go through ComfyUI's own sampling path (`calc_cond_batch`), so every architecture it samples works: eps, v
and flow, with SDXL's pooled and size conditioning and Flux's guidance. Nodes run in inference mode, whose tensors
autograd refuses; `with ComfyDenoiser(...)` leaves that mode, and leaves the MODEL as it was. Whatever may move weights
runs in that mode all the same: moved outside of it, they would be refused ever after.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import comfy.lora
import comfy.model_management
import comfy.model_sampling
import comfy.sampler_helpers
import comfy.samplers
import torch
from torch import Tensor, nn

from ..denoiser import Cond, Denoiser, TextEncoder
from ..errors import ErasureError


_ALL = 1e20  # bytes: nothing else stays on the card while training needs it
_KEPT_ROWS = 256 * 2**20  # bytes of encoded prompts to keep; a row of T5 has 4 MiB


@dataclass(frozen=True)
class _Family:
    """What training must know of an architecture and its weights do not say."""

    architecture: str
    version: str
    side: int
    guidance: float | None = None


# by the names of ComfyUI's configuration and model classes; the first name that a class or one of its bases has decides
_FAMILIES = {
    "SDXL": _Family("stable-diffusion-xl-v1-base", "sdxl_1.0", 1024),
    "SDXLRefiner": _Family("stable-diffusion-xl-v1-refiner", "sdxl_1.0", 1024),
    "SD3": _Family("stable-diffusion-3-m", "sd3", 1024),
    "Flux": _Family("flux-1-dev", "flux1", 1024, guidance=1.0),  # distilled: its guidance is an input, not a second prediction
    "SD20": _Family("stable-diffusion-v2-512", "sd_2.1", 512),
    "BaseModel": _Family("stable-diffusion-v1", "sd_1.5", 512),
}


class ComfyTextEncoder(TextEncoder):
    """A ComfyUI CLIP. A Cond holds what its CONDITIONING holds: "context" (B, L, D) and, where there is one, "pooled" (B, P)."""

    def __init__(self, clip):
        if clip is None:
            raise ErasureError("clip", "nothing is wired in", "Connect the CLIP that belongs to the model.")
        self.clip = clip
        self._rows: dict[str, dict[str, Tensor]] = {}
        self._special = {token for token, _ in self._tokens("")}

    def _tokens(self, prompt: str) -> list[tuple[int, float]]:
        """(token, weight) pairs of the first tokenizer, with special tokens and padding."""
        chunks = next(iter(self.clip.tokenize(_escape(prompt)).values()))
        return [(pair[0], pair[1]) for chunk in chunks for pair in chunk]

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Cond:
        """Each prompt once, kept on the CPU; ComfyUI has no batched text encoding.

        Raises:
            ErasureError: prompts that this text encoder turns into different lengths.
        """
        rows = [self._encode(prompt) for prompt in prompts]
        lengths = [row["context"].shape[1] for row in rows]
        if len({*lengths, self._encode("")["context"].shape[1]}) > 1:
            longest = prompts[lengths.index(max(lengths))]
            raise ErasureError("concept", f"'{longest[:60]}' is longer than the text encoder reads at once", "Use a shorter prompt.")
        return Cond({name: torch.cat([row[name] for row in rows]) for name in rows[0]})

    def _encode(self, prompt: str) -> dict[str, Tensor]:
        if prompt not in self._rows:
            with torch.inference_mode():
                ((context, extra),) = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(_escape(prompt)), show_pbar=False)
            row = {"context": context} | ({"pooled": extra["pooled_output"]} if extra.get("pooled_output") is not None else {})
            self._rows[prompt] = {name: t.detach().float().cpu().clone() for name, t in row.items()}
            size = sum(t.nbytes for t in self._rows[prompt].values())
            while len(self._rows) * size > _KEPT_ROWS and len(self._rows) > 1:
                del self._rows[next(iter(self._rows))]  # the oldest
        return self._rows[prompt]

    def tokenize(self, prompt: str) -> tuple[int, ...]:
        return tuple(token for token, _ in self._tokens(prompt) if token not in self._special)

    def vocabulary(self) -> list[str]:
        for part in vars(self.clip.tokenizer).values():
            if words := sorted({t[:-4] for t in getattr(part, "inv_vocab", {}).values() if isinstance(t, str) and re.fullmatch(r"[a-z]{3,}</w>", t)}):
                return words
        raise ErasureError("vocabulary", "this text encoder has no CLIP vocabulary", "Use english, or a list of your own.")


class ComfyDenoiser(ComfyTextEncoder, Denoiser):
    """A MODEL with its CLIP, usable inside `with`.

    Args:
        model: ComfyUI ModelPatcher; LoRAs loaded into it count as part of the base.
        clip: its text encoder.
        vae: for pictures; without one `decode` gives ComfyUI's rough latent previews.
        side: training resolution in pixels; 0 takes the architecture's own.

    Raises:
        ErasureError: no image model, or weights that do not fit into memory.
    """

    def __init__(self, model, clip, vae=None, side: int = 0):
        ComfyTextEncoder.__init__(self, clip)
        if model is None:
            raise ErasureError("model", "nothing is wired in", "Connect a MODEL.")
        self.patcher, self.vae, self.network = model, vae, model.model.diffusion_model
        base, config = model.model, model.model.model_config
        family = next(_FAMILIES[c.__name__] for c in (*type(config).__mro__, *type(base).__mro__) if c.__name__ in _FAMILIES)
        if family.version == "sd_2.1" and isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.V_PREDICTION):
            family = _Family("stable-diffusion-v2-768-v", family.version, 768)  # the same class predicts noise or velocity
        self.architecture, self.base_version = family.architecture, family.version
        side = side or getattr(config, "native_side", family.side)
        ratio = getattr(base.latent_format, "spacial_downscale_ratio", 8)
        if base.latent_format.latent_dimensions != 2:
            raise ErasureError("model", "it makes video or sound, not pictures", "Use a text-to-image model.")
        self.latent_shape = (base.latent_format.latent_channels, side // ratio, side // ratio)
        self.resolution = (side // ratio * ratio,) * 2
        self.name = getattr(config, "display_name", type(config).__name__)
        self.defaults = dict(getattr(config, "erasure_defaults", {})) | ({"guidance": family.guidance} if family.guidance else {})
        self.style_defaults = getattr(config, "erasure_style_defaults", {})
        self.max_batch = 64 if side <= 128 else 8
        self.sampling = model.get_model_object("model_sampling")
        self.sigmas = self.sampling.sigmas.detach().float().cpu().clone()
        self.is_flow = isinstance(self.sampling, comfy.model_sampling.CONST)
        self.prediction_type = "/".join(c.__name__ for c in type(self.sampling).__mro__[:-1])
        self._checkpointed: list[nn.Module] = []
        self._ready = False

    @classmethod
    def for_weights(cls, model) -> ComfyDenoiser:
        """A MODEL without text encoder, good for looking at its weights only."""
        found = cls.__new__(cls)
        found.patcher, found.network = model, model.model.diffusion_model
        return found

    # --- life -------------------------------------------------------------------------------------------------

    def __enter__(self) -> ComfyDenoiser:
        self._modes = (torch.inference_mode(False), torch.enable_grad())
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *failure) -> None:
        self.gradient_checkpointing(False)
        if self._ready:
            self.patcher.cleanup()
            self._ready = False
        for mode in reversed(self._modes):
            mode.__exit__(*failure)
        comfy.model_management.soft_empty_cache()

    def _load(self) -> None:
        """Bring the weights to the device, whole, as tensors that autograd accepts; their values do not change."""
        if self._ready and getattr(self.patcher.model, "current_weight_patches_uuid", None) == self.patcher.patches_uuid:
            return  # another MODEL with the same weights and other LoRAs may have been used in between
        try:
            with torch.inference_mode():
                comfy.model_management.load_models_gpu([self.patcher], memory_required=_ALL, force_full_load=True)
        except torch.OutOfMemoryError as error:
            raise self._too_large() from error
        self.patcher.pre_run()
        self._ready = True
        if getattr(self.patcher.model, "model_lowvram", False):
            raise self._too_large()
        for module in self.patcher.model.modules():
            for name, tensor in module._parameters.items():
                if tensor is not None and tensor.is_inference():
                    module._parameters[name] = nn.Parameter(tensor.detach().clone(), requires_grad=False)
            for name, tensor in module._buffers.items():
                if tensor is not None and tensor.is_inference():
                    module._buffers[name] = tensor.detach().clone()
        self.network.requires_grad_(False)

    def _too_large(self) -> ErasureError:
        need = self.patcher.model_size() / 2**30
        return ErasureError("model", f"its {need:.1f} GiB of weights do not fit into the free GPU memory", "Close other programs, or use a smaller or fp8 checkpoint.")

    @property
    def device(self) -> torch.device:
        return torch.device(self.patcher.load_device)

    @property
    def dtype(self) -> torch.dtype:
        return self.patcher.model.manual_cast_dtype or self.patcher.model.get_dtype()

    # --- the protocol -----------------------------------------------------------------------------------------

    def encode(self, prompts: Sequence[str]) -> Cond:
        if any(p not in self._rows for p in prompts):
            self._ready = False  # the text encoder may push the network out of memory; the next prediction brings it back
        return ComfyTextEncoder.encode(self, prompts).to(self.device)

    def _predict(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        self._load()
        extra = {"pooled_output": cond.tensors["pooled"]} if "pooled" in cond.tensors else {}
        entries = comfy.sampler_helpers.convert_cond([[cond.tensors["context"].float(), extra]])
        entries = comfy.samplers.process_conds(self.patcher.model, x, {"positive": entries}, self.device, latent_image=x)["positive"]
        options = {k: v for k, v in self.patcher.model_options.items() if k != "multigpu_clones"}  # predicts without gradients
        (x0,) = comfy.samplers.calc_cond_batch(self.patcher.model, [entries], x, sigma.float(), options)
        return x0.float()

    def start_latents(self, unit_noise: Tensor, sigma: Tensor) -> Tensor:
        if self.is_flow:
            return unit_noise * sigma.view(-1, 1, 1, 1)
        return super().start_latents(unit_noise, sigma)

    def noise_ratio(self, sigma: Tensor) -> Tensor:
        return sigma / (1 - sigma).clamp(min=1e-4) if self.is_flow else sigma

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Through the VAE; without one, ComfyUI's linear latent preview, enlarged."""
        if self.vae is not None:
            latents = self.patcher.model.process_latent_out(latents.float().cpu())
            self._ready = False  # the VAE may push parts of the network out of memory
            with torch.inference_mode():
                pictures = torch.cat([self.vae.decode(part) for part in latents.split(8)])
            return pictures.movedim(-1, 1).float().cpu().clamp(0, 1)
        latent_format = self.patcher.model.latent_format
        if latent_format.latent_rgb_factors is None:
            raise ErasureError("vae", "this model has no quick preview", "Connect its VAE.")
        factors = torch.tensor(latent_format.latent_rgb_factors, dtype=torch.float32)
        bias = torch.tensor(latent_format.latent_rgb_factors_bias or [0.0, 0.0, 0.0])
        rgb = torch.einsum("bchw,cr->brhw", latents.float().cpu(), factors) + bias.view(1, 3, 1, 1)
        return nn.functional.interpolate((rgb / 2 + 0.5).clamp(0, 1), size=self.resolution[::-1], mode="bilinear")

    def base_hash(self) -> str:
        """The checkpoint's own hash, and with LoRAs loaded into the MODEL another one for each set of them."""
        digest = hashlib.sha256(super().base_hash().encode())
        for key, patches in sorted(self.patcher.patches.items()):
            for strength, patch, *_ in patches:
                digest.update(f"{key}{strength}{getattr(patch, 'name', '')}".encode())
                for tensor in getattr(patch, "weights", ()):
                    if isinstance(tensor, Tensor):
                        digest.update(tensor.detach().float().cpu().flatten()[:: max(1, tensor.numel() // 64)].contiguous().numpy().tobytes())
        return digest.hexdigest() if self.patcher.patches else super().base_hash()

    def _weight(self, name: str) -> Tensor:
        """The checkpoint's weight, whether or not LoRAs are merged into it at the moment."""
        kept = self.patcher.backup.get(f"diffusion_model.{name}.weight")
        return super()._weight(name) if kept is None else kept.weight.detach().float()

    def file_keys(self) -> dict[str, str]:
        """ComfyUI's own table of LoRA names, turned round: kohya names with diffusers blocks where it has them."""
        found: dict[str, str] = {}
        for key, weight in comfy.lora.model_lora_keys_unet(self.patcher.model, {}).items():
            if isinstance(weight, str) and key.startswith("lora_unet_") and weight.startswith("diffusion_model."):
                name = weight.removeprefix("diffusion_model.").removesuffix(".weight")
                if name not in found or key.startswith(("lora_unet_down_blocks", "lora_unet_mid_block", "lora_unet_up_blocks")) or _is_native(found[name], name):
                    found[name] = key
        layers = {name for name, m in self.network.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
        return {key: name for name, key in found.items() if name in layers}

    def gradient_checkpointing(self, on: bool) -> None:
        for module in self._checkpointed:
            del module.forward  # the class's own shows again
        self._checkpointed = []
        for module in _blocks(self.network) if on else ():
            module.forward = _recomputed(module.forward)
            self._checkpointed.append(module)


def _escape(prompt: str) -> str:
    """The prompt as plain words: brackets would be read as weights, "embedding:" as a file to load."""
    return re.sub(r"([()])", r"\\\1", prompt.replace("\\", " ")).replace("embedding:", "embedding ")


def _is_native(key: str, name: str) -> bool:
    return key == "lora_unet_" + name.replace(".", "_")


def _blocks(network: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network: the children of its outermost lists, or their parts where those are mere sequences."""
    found: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, (nn.ModuleList, nn.Sequential)):
            for block in child:
                found += [part for part in block if any(True for _ in part.parameters())] if isinstance(block, nn.Sequential) else [block]
    return found


def _recomputed(forward):
    """`forward` that keeps its inputs instead of its activations. It works on copies: some blocks change their inputs in place."""
    from torch.utils.checkpoint import checkpoint

    def on_copies(*args, **kwargs):
        return forward(*(a.clone() if isinstance(a, Tensor) else a for a in args), **{k: v.clone() if isinstance(v, Tensor) else v for k, v in kwargs.items()})

    def run(*args, **kwargs):
        return checkpoint(on_copies, *args, use_reentrant=False, **kwargs) if torch.is_grad_enabled() else forward(*args, **kwargs)

    return run
