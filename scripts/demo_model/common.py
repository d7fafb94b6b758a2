"""What every stage needs: progress with time left, a JSONL log, atomic files, the averaged weights."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import torch
from torch import nn


def log(message: str) -> None:
    """One line with the time of day."""
    print(time.strftime("%H:%M:%S"), message, flush=True)


def write_json(path: Path, content) -> None:
    """Write JSON under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def save_state(path: Path, state: dict) -> None:
    """Save a resumable training state under a temporary name, then rename. Stays in the work folder; never shipped."""
    temporary = path.with_name(path.name + ".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_state(path: Path) -> dict | None:
    """The state saved by `save_state`, tensors and plain values only; None if there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None


class Progress:
    """Prints a line now and then, with step rate and time left, and appends the numbers to a JSONL file."""

    def __init__(self, name: str, total: int, jsonl: Path, start: int = 0, every: float = 20.0):
        self.name, self.total, self.start, self.every = name, total, start, every
        self.jsonl, self.began, self.printed = jsonl, time.time(), 0.0

    def __call__(self, step: int, **numbers: float) -> None:
        """Report that `step` steps are done."""
        now = time.time()
        if now - self.printed < self.every and step < self.total:
            return
        self.printed = now
        rate = (now - self.began) / max(1, step - self.start)
        text = "  ".join(f"{key} {value:.4g}" for key, value in numbers.items())
        log(f"{self.name} {step}/{self.total}  {text}  {rate:.3f} s/step  {rate * (self.total - step) / 60:.1f} min left")
        with self.jsonl.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": self.name, "step": step, "seconds": round(now - self.began, 1), **numbers}) + "\n")


class Average:
    """Exponential moving average of a network's weights, with a warm-up so that early weights are forgotten."""

    def __init__(self, network: nn.Module, decay: float):
        self.decay, self.steps = decay, 0
        self.weights = {k: v.detach().clone().float() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step towards the network's weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        pairs = [(self.weights[k], v) for k, v in network.state_dict().items()]
        floats = [(a, b) for a, b in pairs if b.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b.float() for _, b in floats], 1 - decay)
        for a, b in pairs:
            if not b.is_floating_point():
                a.copy_(b)


def cosine_rate(step: int, total: int, peak: float, end: float, warm_up: int) -> float:
    """Learning rate: linear warm-up to `peak`, then a cosine down to `end`."""
    import math
    if step < warm_up:
        return peak * (step + 1) / warm_up
    part = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return end + 0.5 * (peak - end) * (1 + math.cos(math.pi * part))
