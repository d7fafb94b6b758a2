"""Make the embedded model from nothing: python make.py --icons node_modules --work-dir build [--stage NAME]."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
STAGES = ("render", "judge", "vae", "text", "unet", "decoder", "export", "evaluate")
STEPS = {"judge": 6300, "vae": 3800, "text": 1200, "unet": 9200, "decoder": 900}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", default="node_modules", help="node_modules folder with the @iconify-json packages")
    parser.add_argument("--work-dir", default=str(ROOT / "build" / "demo_model"), help="checkpoints, logs and caches")
    parser.add_argument("--out", default=str(ROOT / "erasure" / "demo"), help="where the shipped files go")
    parser.add_argument("--stage", default="all", choices=("all", *STAGES))
    parser.add_argument("--steps", type=int, default=0, help="training steps of the chosen stage (default: as shipped)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    Path(args.work_dir).mkdir(parents=True, exist_ok=True)
    for stage in STAGES if args.stage == "all" else (args.stage,):
        began = time.time()
        run_stage(stage, args)
        print(f"{stage}: {(time.time() - began) / 60:.1f} min", flush=True)


def run_stage(stage: str, args: argparse.Namespace) -> None:
    work, out, steps = Path(args.work_dir), Path(args.out), args.steps or STEPS.get(stage, 0)
    if stage == "render":
        import render

        render.run(args.icons, work, out)
    elif stage == "judge":
        import train_judge

        train_judge.run(work, out, steps)
    elif stage == "vae":
        import train_vae

        train_vae.run(work, steps)
    elif stage == "text":
        import train_text

        train_text.run(work, out, ROOT / "erasure" / "concepts" / "data" / "english.tsv", steps)
    elif stage == "unet":
        import train_unet

        train_unet.run(work, steps)
    elif stage == "decoder":
        import train_vae

        train_vae.run_decoder(work, steps)
    elif stage == "export":
        import export

        export.run(work, out / "model")
    else:
        import evaluate

        evaluate.run(work, out)


if __name__ == "__main__":
    main()
