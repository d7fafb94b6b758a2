"""The same training through the diffusers host and through ComfyUI; prints one JSON object. Run by test_architectures.py."""

from __future__ import annotations

import json
import sys

sys.argv = [sys.argv[0], "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import gc  # noqa: E402

import torch  # noqa: E402

from erasure.adapter import LoraNetwork  # noqa: E402
from erasure.denoiser import Denoiser  # noqa: E402
from erasure.hosts.comfy import ComfyDenoiser  # noqa: E402
from erasure.hosts.comfy_demo import load_demo_triple  # noqa: E402
from erasure.hosts.demo import load_demo  # noqa: E402
from erasure.recipes import configure  # noqa: E402
from erasure.sampling import generate  # noqa: E402
from erasure.trainer import EraseTrainer  # noqa: E402


def erase(denoiser: Denoiser):
    """(adapter, a picture drawn with it)."""
    config = configure(denoiser, "ap-ranked", ["fuel pump"], steps=12, candidates=20, centers=10, trajectories=3, trajectory_steps=6, candidate_steps=4, search_every=4)
    adapter = EraseTrainer(denoiser, config).run().adapter
    with adapter.on(denoiser):
        return adapter, generate(denoiser, ["a fuel pump"], [0], steps=8)


def main() -> None:
    with torch.inference_mode():
        model, clip, vae = load_demo_triple()
        with ComfyDenoiser(model, clip, vae) as denoiser:
            mine, picture = erase(denoiser)
            again, same = erase(denoiser)
            hooks = sum(len(m._forward_hooks) for m in denoiser.network.modules())
            base = denoiser.base_hash()
    del denoiser
    gc.collect()
    left = sum(isinstance(o, LoraNetwork) for o in gc.get_objects())
    line = load_demo("cpu")
    theirs, other = erase(line)
    equal = lambda a, b: all(torch.equal(a.layers[k].up, b.layers[k].up) and torch.equal(a.layers[k].down, b.layers[k].down) for k in a.layers)
    print(json.dumps({
        "same_layers": set(mine.layers) == set(theirs.layers), "same_base": base == line.base_hash(), "difference": float((picture - other).abs().max()),
        "repeatable": equal(mine, again), "hooks": hooks, "left": left, "effect": float((picture - generate(line, ["a fuel pump"], [0], steps=8)).abs().max()),
        "misfit": mine.base_mismatch(line),
    }))


if __name__ == "__main__":
    main()
