"""Any diffusers Stable Diffusion pipeline (SD 1.x, 2.x with v-prediction, SDXL), in memory or on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..denoiser import Cond, Denoiser
from ..errors import ErasureError
from .single_file import Layout, find_layout

_LEAST_ALPHA = 4.9e-8  # zero-terminal-SNR schedules end at 0, where sigma would be infinite


class DiffusersDenoiser(Denoiser):
    """A `StableDiffusionPipeline` or `StableDiffusionXLPipeline` as a Denoiser; its weights stay as they are.

    Args:
        pipeline: the loaded pipeline, already on its device and in its dtype.
        name: what cards and reports call it.

    Raises:
        ErasureError: the pipeline has no UNet, or a prediction type other than epsilon or v_prediction.
    """

    def __init__(self, pipeline, name: str = "model"):
        if not hasattr(pipeline, "unet"):
            raise ErasureError("model", f"{type(pipeline).__name__} has no UNet", "Use a Stable Diffusion 1.x, 2.x or XL pipeline.")
        self.pipeline, self.network, self.name = pipeline, pipeline.unet, name
        self.network.requires_grad_(False).eval()
        self.prediction_type = pipeline.scheduler.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise ErasureError("model", f"prediction type '{self.prediction_type}' is not supported", "Use an eps- or v-prediction model.")
        alphas = pipeline.scheduler.alphas_cumprod.double().clamp(min=_LEAST_ALPHA)
        self.sigmas = ((1 - alphas) / alphas).sqrt().float()
        size = self.network.config.sample_size
        self.latent_shape = (self.network.config.in_channels, size, size)
        scale = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        self.resolution = (size * scale, size * scale)
        self.is_xl = hasattr(pipeline, "text_encoder_2")
        if self.is_xl:
            self.architecture, self.base_version = "stable-diffusion-xl-v1-base", "sdxl_1.0"
        elif self.network.config.cross_attention_dim == 1024:
            suffix = "768-v" if self.prediction_type == "v_prediction" else "512"
            self.architecture, self.base_version = f"stable-diffusion-v2-{suffix}", "sd_2.1"
        self.max_batch = 64 if size <= 16 else 8

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Cond:
        parts = []
        for i in range(0, len(prompts), 64):
            batch = list(prompts[i : i + 64])
            out = self.pipeline.encode_prompt(batch, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False)
            tensors = {"context": out[0]}
            if self.is_xl:
                tensors["pooled"] = out[2]
            parts.append(Cond(tensors))
        return Cond.cat(parts)

    def tokenize(self, prompt: str) -> tuple[int, ...]:
        return tuple(self.pipeline.tokenizer(prompt, add_special_tokens=False)["input_ids"])

    def vocabulary(self) -> list[str]:
        tokens = self.pipeline.tokenizer.get_vocab()
        return sorted({t[:-4] for t in tokens if re.fullmatch(r"[a-z]{3,}</w>", t)})

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        vae = self.pipeline.vae
        latents = latents / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0.0)
        if vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False):
            vae.float()  # for good: this autoencoder overflows in float16
        step = 64 if latents.shape[-1] <= 16 else 1  # large pictures one by one
        parts = [vae.decode(part.to(vae.dtype)).sample.float().cpu() for part in latents.split(step)]
        return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)

    def _predict(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        dtype = self.network.dtype
        sigma = sigma.float()
        scale = (sigma.square() + 1).rsqrt().view(-1, 1, 1, 1)
        out = self.network(
            (x * scale).to(dtype), self._timestep(sigma), cond.tensors["context"].to(dtype),
            added_cond_kwargs=self._size_condition(cond, dtype),
        ).sample.float()
        s = sigma.view(-1, 1, 1, 1)
        if self.prediction_type == "epsilon":
            return x - s * out
        return x * scale.square() - s * scale * out  # v-prediction (Salimans & Ho 2022) in sigma space

    def _timestep(self, sigma: Tensor) -> Tensor:
        """Training step (B,) of each sigma, interpolated in log sigma between table entries."""
        table = self.sigmas.to(sigma.device).log()
        log_sigma = sigma.log().clamp(table[0], table[-1])
        high = torch.searchsorted(table, log_sigma).clamp(1, len(table) - 1)
        low = high - 1
        t = low + (log_sigma - table[low]) / (table[high] - table[low])
        nearest = t.round()
        return torch.where((t - nearest).abs() < 1e-2, nearest, t)

    def _size_condition(self, cond: Cond, dtype) -> dict | None:
        if not self.is_xl:
            return None
        w, h = self.resolution
        pooled = cond.tensors["pooled"].to(dtype)
        ids = torch.tensor([h, w, 0, 0, h, w], dtype=dtype, device=pooled.device).expand(len(cond), 6)
        return {"text_embeds": pooled, "time_ids": ids}

    def gradient_checkpointing(self, on: bool) -> None:
        # diffusers checkpoints in train mode only; no Stable Diffusion UNet has dropout, so the mode changes nothing else
        if on:
            self.network.enable_gradient_checkpointing()
        else:
            self.network.disable_gradient_checkpointing()
        self.network.train(on)


def pick_device(device: str = "auto") -> torch.device:
    """'auto' -> cuda, else mps, else cpu; any other value as torch spells it."""
    if device != "auto":
        try:
            if torch.device(device).type in ("cpu", "cuda", "mps", "xpu"):
                return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError):
            pass
        raise ErasureError("device", f"'{device}' cannot be used here", "Use auto, cpu, cuda or mps.")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """'auto' -> float32 on the CPU, bfloat16 where the GPU has it, else float16."""
    if dtype == "auto":
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ErasureError("dtype", f"'{dtype}' is not a dtype", "Use auto, float32, bfloat16 or float16.")
    return getattr(torch, dtype)


def load_pipeline(path: str | Path, device: str = "auto", dtype: str = "auto", config: str | Path | None = None):
    """A diffusers pipeline from a folder or a single `.safetensors` checkpoint; never from the network.

    Args:
        config: what describes a single-file checkpoint, see `single_file.find_layout`.

    Raises:
        ErasureError: no such file, a pickled checkpoint, not a pipeline, a checkpoint of no known family, or a
            configuration that is not on disk.
    """
    path, where = Path(path), pick_device(device)
    torch_dtype = pick_dtype(dtype, where)
    if not path.exists():
        raise ErasureError("model", f"'{path}' does not exist", "Use 'demo', a diffusers folder or a .safetensors checkpoint.")
    layout = find_layout(path, config) if path.is_file() else None
    kind = _pipeline_kind(layout.folder, "model-config") if layout else _pipeline_kind(path, "model")
    try:
        pipeline = _read_pipeline(path, kind, torch_dtype, layout).to(where)  # where a missing weight shows
    except Exception as error:
        remedy = "Give a diffusers folder with safetensors weights, or a checkpoint that fits its --model-config."
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ErasureError("model", f"'{path}' does not load ({type(error).__name__}: {reason})", remedy) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _read_pipeline(path: Path, kind: str, torch_dtype: torch.dtype, layout: Layout | None):
    import diffusers
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    diffusers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    options = {"dtype": torch_dtype, "local_files_only": True}
    pipeline_class = getattr(diffusers, kind)
    if layout:
        return pipeline_class.from_single_file(str(path), config=str(layout.folder), **layout.components(), **options)
    if kind == "StableDiffusionPipeline":  # the checker would be loaded only to be ignored
        options |= {"safety_checker": None, "requires_safety_checker": False}
    return pipeline_class.from_pretrained(path, use_safetensors=True, **options)


def _pipeline_kind(folder: Path, field: str) -> str:
    """Pipeline class name that a diffusers folder asks for; refuses others before anything is loaded."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ErasureError(field, f"'{folder}' has no model_index.json", "Use a diffusers folder, or as the model a .safetensors checkpoint.")
    try:
        kind = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (ValueError, TypeError, KeyError) as error:
        raise ErasureError(field, f"'{index}' is damaged", "Copy the model again.") from error
    if kind not in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        raise ErasureError(field, f"'{folder}' holds a {kind or 'unknown pipeline'}", "Use a Stable Diffusion 1.x, 2.x or XL pipeline.")
    return kind
