"""Stage `evaluate`: every concept in every style with several seeds, read by the judge; and a contact sheet to look at."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from erasure.evaluation.judge import Judge  # noqa: E402
from erasure.hosts.diffusers import DiffusersDenoiser, load_pipeline  # noqa: E402
from erasure.sampling import generate  # noqa: E402

from captions import with_article
from catalogue import STYLES, catalogue
from common import log, write_json
from sheet import to_uint8, write_sheet

SEEDS, STEPS, GUIDANCE = 4, 20, 4.0


def run(work_dir: Path, out: Path, seeds: int = SEEDS, every: int = 1) -> dict:
    """Write `quality.json` beside the model (when all concepts were drawn) and `sheet.png` into the work folder."""
    began = time.time()
    denoiser = DiffusersDenoiser(load_pipeline(out / "model", "cpu", "float32"))
    judge, names, styles = Judge.load(out / "judge"), [c["name"] for c in catalogue()["concepts"]][::every], list(STYLES)
    hits, rows = {}, []
    for name in names:
        prompts = [f"{with_article(name)} in {style} style" for style in styles for _ in range(seeds)]
        with torch.autocast("cpu", torch.bfloat16):  # twice as fast
            images = generate(denoiser, prompts, [s for _ in styles for s in range(seeds)], steps=STEPS, guidance=GUIDANCE)
        scores = judge.classify(images)
        concept = scores.concept_probs.argmax(1) == judge.concepts.index(name)
        style = scores.style_probs.argmax(1) == torch.arange(len(styles)).repeat_interleave(seeds)
        hits[name] = (concept.float().mean().item(), style.float().view(len(styles), seeds).mean(1))
        rows.append(to_uint8(images[::seeds]))
        log(f"evaluate {len(hits)}/{len(names)} {name}: {hits[name][0]:.2f}")
    write_sheet(work_dir / "sheet.png", rows, names, 64, 3)
    found = {
        "concept_top1": round(sum(c for c, _ in hits.values()) / len(hits), 4),
        "style_top1": round(torch.stack([s for _, s in hits.values()]).mean().item(), 4),
        "settings": {"seeds": seeds, "ddim_steps": STEPS, "guidance": GUIDANCE, "dtype": "bfloat16", "pictures": len(hits) * len(styles) * seeds},
        "minutes": round((time.time() - began) / 60, 1),
        "per_style": {s: round(v, 4) for s, v in zip(styles, torch.stack([h for _, h in hits.values()]).mean(0).tolist())},
        "per_concept": {n: round(c, 4) for n, (c, _) in hits.items()},
    }
    if every == 1:
        write_json(out / "quality.json", found)
    log(f"evaluate: concept {found['concept_top1']:.3f}, style {found['style_top1']:.3f}")
    return found


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
