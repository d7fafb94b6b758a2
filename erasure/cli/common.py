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
    group.add_argument("--model-config", help="what describes a single-file checkpoint: a diffusers folder, or sd1, sd2, sd2-v or sdxl (default: "
                       "as its header says; an SD 2.x file without such metadata counts as 768-v, so give sd2 for a 512 base model)")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    group.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: float32 on the CPU, bfloat16 on a GPU that has it)")
    group.add_argument("--threads", type=int, default=0, help="CPU threads (default: as torch chooses)")


def model_from(args: argparse.Namespace) -> Denoiser:
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    return load_denoiser(args.model, args.device, args.dtype, args.model_config)


def bar(description: str, initial: int = 0) -> Callable[..., None]:
    """A progress callback (done, total, note="") that draws one bar with time left and closes itself.

    Args:
        initial: what was done before, so that time left counts only what happens now.
    """
    from tqdm import tqdm

    open_bars: list[tqdm] = []

    def progress(done: int, total: int, note: str = "") -> None:
        if not open_bars:
            open_bars.append(tqdm(total=total, desc=description, initial=initial, dynamic_ncols=True, mininterval=0.25))
        open_bars[0].set_postfix_str(note, refresh=False)
        open_bars[0].update(done - open_bars[0].n)
        if done >= total:
            open_bars.pop().close()

    return progress
