"""Stage `vae`: the KL autoencoder, 128 px to 16x16x4 latents (Rombach et al. 2022)."""

from __future__ import annotations

from pathlib import Path

import fast_norm
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from common import Average, Progress, cosine_rate, load_state, save_state
from pictures import Pictures

CHANNELS = (32, 32, 64, 128)
GROUPS = 8  # 32 groups of one channel would forget the colour of flat areas
BATCH, PEAK_RATE, KL_WEIGHT, CHROMA_WEIGHT = 8, 1.5e-3, 2e-6, 2.0
DECODER_RATE = 8e-4
CROP, CROPPED_SHARE = 64, 0.75  # most steps see twice as many crops at half the cost


def build() -> AutoencoderKL:
    n = len(CHANNELS)
    return AutoencoderKL(
        block_out_channels=CHANNELS, down_block_types=("DownEncoderBlock2D",) * n, up_block_types=("UpDecoderBlock2D",) * n,
        layers_per_block=1, latent_channels=4, norm_num_groups=GROUPS, sample_size=128,
    )


def loss_of(vae: AutoencoderKL, images: Tensor, gen: torch.Generator) -> tuple[Tensor, Tensor]:
    """(loss, mean squared error): squared error, L1 of pixels and of edges, once more for colour without brightness, a small KL term.

    Without the colour term the latents keep the drawing and let the hue of small areas go.
    """
    posterior = vae.encode(images).latent_dist
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    z = mean + (0.5 * logvar).exp() * torch.randn(mean.shape, generator=gen)
    out = vae.decode(z.to(images.dtype)).sample.float()
    target = images.float()
    loss = 5 * (out - target).square().mean()
    for scale in (1, 4, 16):
        a, b = (F.avg_pool2d(t, scale) if scale > 1 else t for t in (out, target))
        loss = loss + (a - b).abs().mean() + (CHROMA_WEIGHT * (hue(a) - hue(b)).abs().mean() if scale > 1 else 0)
    for dim in (2, 3):
        loss = loss + (out.diff(dim=dim) - target.diff(dim=dim)).abs().mean()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
    return loss + KL_WEIGHT * kl, (out - target).square().mean()


def hue(images: Tensor) -> Tensor:
    """(B, 3, H, W) less its grey part."""
    return images - images.mean(1, keepdim=True)


def batch_of(pictures: Pictures, cropped: bool, gen: torch.Generator) -> Tensor:
    """(B, 3, H, W) in -1..1: whole pictures, or twice as many random crops."""
    images = pictures.moved(pictures.draw_labels(BATCH * (2 if cropped else 1), gen), gen, scale=0.15) * 2 - 1
    if not cropped:
        return images
    y, x = torch.randint(0, images.shape[-1] - CROP + 1, (2, len(images)), generator=gen).tolist()
    return torch.stack([image[:, i : i + CROP, j : j + CROP] for image, i, j in zip(images, y, x)])


def run(work_dir: Path, steps: int, seed: int = 1) -> None:
    """Train to `steps`, resuming from `vae.pt`; every 200 steps the state is saved."""
    fast_norm.install()
    torch.manual_seed(seed)
    _train(build(), "vae", work_dir, steps, PEAK_RATE, CROPPED_SHARE, seed)


def run_decoder(work_dir: Path, steps: int, seed: int = 5) -> None:
    """Train the decoder of the whitened `vae.safetensors` alone, on whole pictures: latents, and a UNet trained on them, stay valid."""
    fast_norm.install()
    vae = build()
    vae.load_state_dict(load_file(work_dir / "vae.safetensors"))
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    average = _train(vae, "decoder", work_dir, steps, DECODER_RATE, 0.0, seed)
    save_file({k: v.contiguous() for k, v in average.weights.items()}, work_dir / "vae.safetensors")


def _train(vae: AutoencoderKL, name: str, work_dir: Path, steps: int, peak_rate: float, cropped_share: float, seed: int) -> Average:
    pictures, path = Pictures(work_dir), work_dir / f"{name}.pt"
    vae.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW([p for p in vae.parameters() if p.requires_grad], lr=peak_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    average, start = Average(vae, 0.995), 0
    if state := load_state(path):
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.weights, average.steps, start = state["average"], state["step"], state["step"]
    progress = Progress(name, steps, work_dir / f"{name}.jsonl", start)
    for step in range(start, steps):
        gen = torch.Generator().manual_seed(seed * 1_000_003 + step)
        images = batch_of(pictures, step / steps < cropped_share, gen)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, peak_rate, 3e-5, 100)
        with torch.autocast("cpu", torch.bfloat16):
            loss, mse = loss_of(vae, images.contiguous(memory_format=torch.channels_last), gen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae)
        progress(step + 1, loss=loss.item(), psnr=(-10 * torch.log10(mse / 4)).item())
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save_state(path, {"model": vae.state_dict(), "optimizer": optimizer.state_dict(), "average": average.weights, "step": step + 1})
    return average


if __name__ == "__main__":
    import sys

    torch.set_num_threads(int(sys.argv[3]))
    (run_decoder if len(sys.argv) > 4 else run)(Path(sys.argv[1]), int(sys.argv[2]))
