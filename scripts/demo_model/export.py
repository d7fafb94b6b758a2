"""Stage `export`: the averaged weights as an ordinary diffusers StableDiffusionPipeline folder in float16."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

import train_text
import train_unet
import train_vae
from common import load_state, log


def run(work_dir: Path, folder: Path) -> None:
    """Write `folder`, file by file, each under a temporary name first."""
    tokenizer, tower = train_text.load(work_dir)
    vae, unet = train_vae.build(), train_unet.build()
    vae.load_state_dict(load_file(work_dir / "vae.safetensors"))
    unet.load_state_dict(load_state(work_dir / "unet.pt")["average"])
    vae.register_to_config(scaling_factor=load_file(work_dir / "latents.safetensors")["factor"].item())
    pipeline = StableDiffusionPipeline(
        vae=vae.half(), text_encoder=tower.half(), tokenizer=tokenizer, unet=unet.half(), scheduler=train_unet.scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )
    made = work_dir / "export"
    shutil.rmtree(made, ignore_errors=True)
    pipeline.save_pretrained(made)
    keep_prefix(made / "text_encoder" / "model.safetensors")
    shutil.rmtree(made / "tokenizer")
    shutil.copytree(work_dir / "tokenizer", made / "tokenizer")
    for path in sorted(made.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target.with_name(target.name + ".tmp"))
            os.replace(target.with_name(target.name + ".tmp"), target)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    log(f"export: {folder}, {size / 2**20:.1f} MiB")


def keep_prefix(path: Path) -> None:
    """transformers 5 drops the `text_model.` prefix, and transformers 4 then silently starts from random weights; both read it with the prefix."""
    state = {f"text_model.{k.removeprefix('text_model.')}": v.contiguous() for k, v in load_file(path).items()}
    save_file(state, path, {"format": "pt"})


if __name__ == "__main__":
    import sys

    run(Path(sys.argv[1]), Path(sys.argv[2]))
