"""Stage `unet`: the denoiser, eps-prediction with classifier-free dropout (Ho & Salimans 2021), on cached latents.

The loss weight is min(SNR, 5) / SNR above SNR 1 and grows up to SNR^-0.5 (at most 4) below it, so that the noisy
levels where the object is decided count. The caption must matter early: `gap` logs the loss with the right and
with a shuffled caption.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor

import train_text
import train_vae
from captions import caption
from catalogue import BACKGROUNDS
from common import Average, Progress, cosine_rate, load_state, log, save_state
from pictures import Pictures
from whiten import whiten

BATCH, PEAK_RATE, DROPPED = 32, 1e-3, 0.1


def build() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(64, 128, 128), cross_attention_dim=128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=4, norm_num_groups=32,
    )


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1)


def loss_weights(alphas_cumprod: Tensor) -> Tensor:
    """(T,) weight of each training step."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return torch.where(snr > 1, snr.clamp(max=5) / snr, snr.rsqrt().clamp(max=4))


@torch.no_grad()
def encode_pictures(work_dir: Path, seed: int) -> dict[str, Tensor]:
    """{"mean", "std" (N, 4, 16, 16), "labels" (N, 3), "factor" ()}: posteriors of every picture, made once."""
    path, pictures = work_dir / "latents.safetensors", Pictures(work_dir)
    if path.is_file():
        return load_file(path)
    gen = torch.Generator().manual_seed(seed)
    vae = whitened_vae(work_dir, pictures, gen)
    grid = torch.cartesian_prod(torch.arange(pictures.concepts), torch.arange(pictures.styles), torch.arange(len(BACKGROUNDS)))
    labels = torch.unique(pictures.legal(grid), dim=0)
    plain = [posterior(vae, pictures.compose(part)) for part in labels.split(64)]
    moved = [posterior(vae, pictures.moved(part, gen, shift=0.05, scale=0.06)) for part in labels.split(64)]
    mean, std = (torch.cat(parts) for parts in zip(*plain, *moved))
    found = {"mean": mean, "std": std, "labels": labels.repeat(2, 1), "factor": 1 / mean.std()}
    save_file(found, path)
    log(f"unet: {len(mean)} latents, scaling factor {found['factor'].item():.4f}")
    return found


def whitened_vae(work_dir: Path, pictures: Pictures, gen: torch.Generator):
    """The averaged autoencoder with its latents whitened over 1,024 pictures, kept as `vae.safetensors`."""
    vae = train_vae.build()
    path = work_dir / "vae.safetensors"
    if path.is_file():
        vae.load_state_dict(load_file(path))
        return vae.eval().to(memory_format=torch.channels_last)
    vae.load_state_dict(load_state(work_dir / "vae.pt")["average"])
    vae.eval().to(memory_format=torch.channels_last)
    mean, std = (torch.cat(parts) for parts in zip(*(posterior(vae, pictures.moved(pictures.draw_labels(64, gen), gen)) for _ in range(16))))
    whiten(vae, mean, std)
    save_file({k: v.contiguous() for k, v in vae.state_dict().items()}, path)
    return vae


def posterior(vae, images: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, std), each (B, 4, 16, 16), of images (B, 3, 128, 128) in 0..1."""
    with torch.autocast("cpu", torch.bfloat16):
        found = vae.encode((images * 2 - 1).contiguous(memory_format=torch.channels_last)).latent_dist
    return found.mean.float().contiguous(), found.std.float().contiguous()


class Texts:
    """Captions of a batch of labels through the frozen tower."""

    def __init__(self, work_dir: Path):
        self.tokenizer, self.tower = train_text.load(work_dir)

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> Tensor:
        """(B, 32, 128)."""
        return self.tower(train_text.token_ids(self.tokenizer, texts)).last_hidden_state


def run(work_dir: Path, steps: int, seed: int = 4) -> None:
    """Train to `steps`, resuming from `unet.pt`."""
    torch.manual_seed(seed)
    data, texts = encode_pictures(work_dir, seed), Texts(work_dir)
    unet, path = build(), work_dir / "unet.pt"
    unet.set_attn_processor(AttnProcessor())  # plain matrix products: the fused attention's backward is slow on a CPU
    optimizer = torch.optim.AdamW(unet.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    average, start = Average(unet, 0.999), 0
    if state := load_state(path):
        unet.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.weights, average.steps, start = state["average"], state["step"], state["step"]
    abar = scheduler().alphas_cumprod
    weights, progress = loss_weights(abar), Progress("unet", steps, work_dir / "unet.jsonl", start)
    for step in range(start, steps):
        gen, rng = torch.Generator().manual_seed(seed * 1_000_003 + step), random.Random(seed * 1_000_003 + step)
        x0, context = batch_of(data, texts, gen, rng)
        t = torch.randint(len(abar), (BATCH,), generator=gen)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, 1e-5, 100)
        loss = (weights[t] * errors(unet, x0, context, t, abar, gen)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.update(unet)
        progress(step + 1, loss=loss.item())
        if (step + 1) % 250 == 0 or step + 1 == steps:
            save_state(path, {"model": unet.state_dict(), "optimizer": optimizer.state_dict(), "average": average.weights, "step": step + 1})
            log(f"unet {step + 1}: right / shuffled caption  {gap(unet, data, texts, abar)}")


def batch_of(data: dict[str, Tensor], texts: Texts, gen: torch.Generator, rng: random.Random) -> tuple[Tensor, Tensor]:
    """(scaled latents (B, 4, 16, 16), contexts (B, 32, 128))."""
    rows = torch.randint(len(data["mean"]), (BATCH,), generator=gen)
    mean, std = data["mean"][rows], data["std"][rows]
    x0 = (mean + std * torch.randn(mean.shape, generator=gen)) * data["factor"]
    said = [caption(*label, rng).text if rng.random() > DROPPED else "" for label in data["labels"][rows].tolist()]
    return x0, texts(said)


def errors(unet, x0: Tensor, context: Tensor, t: Tensor, abar: Tensor, gen: torch.Generator) -> Tensor:
    """(B,) mean squared noise-prediction errors."""
    noise, a = torch.randn(x0.shape, generator=gen), abar[t].view(-1, 1, 1, 1)
    noisy = a.sqrt() * x0 + (1 - a).sqrt() * noise
    with torch.autocast("cpu", torch.bfloat16):
        out = unet(noisy, t, context).sample
    return (out.float() - noise).square().flatten(1).mean(1)


@torch.no_grad()
def gap(unet, data: dict[str, Tensor], texts: Texts, abar: Tensor) -> str:
    """Loss at three noise levels with the right and with a shuffled caption: they must separate within 500 steps."""
    found = []
    for level in (150, 450, 700):
        gen, rng = torch.Generator().manual_seed(level), random.Random(level)
        x0, context = batch_of(data, texts, gen, rng)
        t = torch.full((BATCH,), level)
        right, wrong = (errors(unet, x0, c, t, abar, torch.Generator().manual_seed(1)).mean().item() for c in (context, context.roll(1, 0)))
        found.append(f"t={level}: {right:.4f} / {wrong:.4f}")
    return "  ".join(found)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    run(Path(sys.argv[1]), int(sys.argv[2]))
