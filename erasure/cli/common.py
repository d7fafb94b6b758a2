"""What several commands share: model options, progress bars, clean interruption."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from ..denoiser import Denoiser
from ..hosts import load_denoiser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="demo", help="demo, a diffusers folder, or a .safetensors checkpoint (default: demo)")
    group.add_argument("--model-config", help="diffusers folder that describes a single-file checkpoint")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    group.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: float32 on the CPU, bfloat16 on a GPU that has it)")
    group.add_argument("--threads", type=int, default=0, help="CPU threads (default: as torch chooses)")


def model_from(args: argparse.Namespace) -> Denoiser:
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    return load_denoiser(args.model, args.device, args.dtype, args.model_config)


def bar(description: str, unit: str) -> Callable[[int, int], None]:
    """A progress callback (done, total) that draws one bar with time left and closes itself."""
    from tqdm import tqdm

    state: dict = {}

    def progress(done: int, total: int) -> None:
        if "bar" not in state:
            state["bar"] = tqdm(total=total, desc=description, unit=unit, dynamic_ncols=True)
        state["bar"].update(done - state["bar"].n)
        if done >= total:
            state.pop("bar").close()

    return progress
