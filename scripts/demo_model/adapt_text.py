"""Teach a trained text tower new names for two of its styles: python adapt_text.py WORK STEPS THREADS OLD=NEW [OLD=NEW ...]

The copy learns to give for a caption with the new name what the tower gives for the same caption with the old one, and
to change nothing else, so that a UNet trained on the old tower keeps all it knows. Used once, when two styles that the
autoencoder could not keep apart were replaced; `make.py` from nothing does not need it.
"""

from __future__ import annotations

import copy
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import train_text
from captions import caption
from catalogue import BACKGROUNDS, STYLES, catalogue
from common import Progress, cosine_rate

BATCH, PEAK_RATE = 96, 1e-3


def run(work_dir: Path, steps: int, names: dict[str, str], seed: int = 6) -> None:
    torch.manual_seed(seed)
    tokenizer, teacher = train_text.load(work_dir)
    student = copy.deepcopy(teacher).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(student.parameters(), lr=PEAK_RATE, weight_decay=0.0)
    rng, progress = random.Random(seed), Progress("adapt", steps, work_dir / "adapt.jsonl")
    concepts, back = len(catalogue()["concepts"]), {new: old for old, new in names.items()}
    for step in range(steps):
        said = [caption(rng.randrange(concepts), rng.randrange(len(STYLES)), rng.randrange(len(BACKGROUNDS)), rng).text for _ in range(BATCH)]
        known = [next((s.replace(new, old) for new, old in back.items() if new in s), s) for s in said]
        new, old = (train_text.token_ids(tokenizer, texts) for texts in (said, known))
        with torch.no_grad():
            wanted = teacher(old).last_hidden_state
        places = torch.tensor([aligned(len(tokenizer(n).input_ids), len(tokenizer(o).input_ids), a.tolist(), b.tolist()) for n, o, a, b in zip(said, known, new, old)])
        wanted = wanted.gather(1, places[:, :, None].expand_as(wanted))
        loss = (student(new).last_hidden_state - wanted).square().mean()
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, 1e-5, 30)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        progress(step + 1, loss=loss.item())
    save_file({f"text_model.{k.removeprefix('text_model.')}": v.contiguous() for k, v in student.state_dict().items() if "position_ids" not in k}, work_dir / "text.safetensors")


def aligned(new_length: int, old_length: int, new: list[int], old: list[int]) -> list[int]:
    """For each place of the new caption the place of the old one that says the same; names may differ in length."""
    first = next((i for i, (a, b) in enumerate(zip(new, old)) if a != b), len(new))
    rest = next((i for i, (a, b) in enumerate(zip(reversed(new[:new_length]), reversed(old[:old_length]))) if a != b), new_length)
    old_end, shift, last = old_length - rest, old_length - new_length, len(old) - 1
    return [i if i < first else min(i, old_end - 1) if i < new_length - rest else min(i + shift, last) for i in range(len(new))]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    run(Path(sys.argv[1]), int(sys.argv[2]), dict(pair.split("=") for pair in sys.argv[4:]))
