"""Stage `judge`: the classifier that scores everything on this model. It sees real renders only, never generated pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from erasure.evaluation.judge import SIZE, Judge  # noqa: E402

from catalogue import BACKGROUNDS, STYLES, catalogue
from common import Average, Progress, cosine_rate, load_state, log, save_state, write_json
from pictures import Pictures

BATCH, PEAK_RATE = 64, 2e-3


def build() -> Judge:
    return Judge([c["name"] for c in catalogue()["concepts"]], list(STYLES), list(BACKGROUNDS))


def disturb(images: Tensor, gen: torch.Generator) -> Tensor:
    """What a decoder does to a picture, at the judge's size: blurred, noisy, off in colour."""
    small, n = images, len(images)
    pick = lambda share: (torch.rand(n, 1, 1, 1, generator=gen) < share).float()
    blurred = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
    coarse = F.interpolate(F.avg_pool2d(small, 2), (SIZE, SIZE), mode="bilinear")
    small = torch.lerp(small, blurred, pick(0.4) * torch.rand(n, 1, 1, 1, generator=gen))
    small = torch.lerp(small, coarse, pick(0.1) * torch.rand(n, 1, 1, 1, generator=gen))
    gain = 1 + 0.08 * torch.randn(n, 3, 1, 1, generator=gen) * pick(0.5)
    noise = torch.randn(small.shape, generator=gen) * 0.04 * torch.rand(n, 1, 1, 1, generator=gen) * pick(0.5)
    patches = F.interpolate(torch.randn(n, 3, SIZE // 8, SIZE // 8, generator=gen), (SIZE, SIZE), mode="bilinear") * 0.04 * pick(0.3)
    return (small * gain + noise + patches).clamp(0, 1)


def accuracy(judge: Judge, pictures: Pictures, batches: int = 20) -> dict[str, float]:
    """Top-1 on augmentations that training never draws (another seed range)."""
    judge.eval()
    right, seen = {"concept": 0, "style": 0}, 0
    for i in range(batches):
        gen = torch.Generator().manual_seed(10**9 + i)
        labels = pictures.draw_labels(96, gen)
        with torch.no_grad():
            logits = judge(disturb(pictures.moved(labels, gen, turn=0.1), gen))
        for column, head in enumerate(right):
            right[head] += int((logits[head].argmax(1) == labels[:, column]).sum())
        seen += len(labels)
    judge.train()
    return {head: count / seen for head, count in right.items()}


def run(work_dir: Path, demo_dir: Path, steps: int, seed: int = 2) -> None:
    """Train to `steps`, resuming from `judge.pt`, and write the judge folder."""
    torch.manual_seed(seed)
    judge, pictures, path = build().to(memory_format=torch.channels_last), Pictures(work_dir, shrink=2), work_dir / "judge.pt"
    optimizer = torch.optim.AdamW(judge.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    average, start = Average(judge, 0.99), 0
    if state := load_state(path):
        judge.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.weights, average.steps, start = state["average"], state["step"], state["step"]
    progress = Progress("judge", steps, work_dir / "judge.jsonl", start)
    for step in range(start, steps):
        gen = torch.Generator().manual_seed(seed * 1_000_003 + step)
        labels = pictures.draw_labels(BATCH, gen)
        images = disturb(pictures.moved(labels, gen, shift=0.08, scale=0.15, turn=0.15), gen)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, 2e-5, 50)
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(images.contiguous(memory_format=torch.channels_last))
        weights = (("concept", 1.0), ("style", 1.0), ("background", 0.2))
        loss = sum(w * F.cross_entropy(logits[h].float(), labels[:, i], label_smoothing=0.05) for i, (h, w) in enumerate(weights))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        average.update(judge)
        progress(step + 1, loss=loss.item(), concept=(logits["concept"].argmax(1) == labels[:, 0]).float().mean().item(), style=(logits["style"].argmax(1) == labels[:, 1]).float().mean().item())
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save_state(path, {"model": judge.state_dict(), "optimizer": optimizer.state_dict(), "average": average.weights, "step": step + 1})
    judge.load_state_dict(average.weights)
    export(judge, accuracy(judge, pictures), demo_dir / "judge")


def export(judge: Judge, found: dict[str, float], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() if v.is_floating_point() else v for k, v in judge.state_dict().items()}, folder / "model.safetensors")
    write_json(folder / "config.json", {"concepts": list(judge.concepts), "styles": list(judge.styles), "backgrounds": list(judge.backgrounds)})
    write_json(folder / "accuracy.json", {"held_out_augmentations": found})
    log(f"judge: held-out augmentations {found}")


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[4]))
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
