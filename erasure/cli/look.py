"""probe, compare, evaluate: see what an eraser does."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import ExitStack

from ..adapter import ErasureAdapter, load_adapter, store_scores
from ..concepts import BUILT_IN, exclusions
from ..concepts.vocabulary import check_source
from ..config import EraseConfig
from ..denoiser import Denoiser
from ..errors import ErasureError, printable
from ..files import check_writable, write_json
from ..hosts.demo import JUDGE, DemoDenoiser
from ..pictures import Row, draw_grid
from ..probe import Spectrum, probe
from ..sampling import generate
from .common import add_model_options, bar, model_from


def add_commands(commands) -> None:
    look = commands.add_parser("probe", help="which concepts does an eraser harm: ranking and spectrum")
    look.add_argument("--adapter", required=True, help="the .safetensors file")
    look.add_argument("--space", help=f"vocabulary: {', '.join(BUILT_IN)} or a text file (default: {EraseConfig.vocabulary}; demo: {DemoDenoiser.defaults['vocabulary']})")
    look.add_argument("--top", type=int, default=20, help="how many of the most harmed to show (default: 20)")
    look.add_argument("--strength", type=float, default=1.0, help="strength of the adapter (default: 1)")
    look.add_argument("--latents", type=int, default=4, help="shared latents per concept; more is steadier and slower (default: 4)")
    look.add_argument("--plot", help="PNG to draw the spectrum to")
    look.add_argument("--json", help="JSON file for all values")
    add_model_options(look)
    look.set_defaults(run=run_probe)

    compare = commands.add_parser("compare", help="labelled before/after grid at the same seeds")
    compare.add_argument("--adapter", action="append", required=True, help="the .safetensors file; several add up")
    compare.add_argument("--prompts", nargs="+", required=True, help="one row each")
    compare.add_argument("--strengths", nargs="+", type=float, default=[0.0, 1.0], help="one column each (default: 0 1)")
    compare.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="pictures per cell (default: 0 1 2)")
    compare.add_argument("--steps", type=int, default=20, help="DDIM steps (default: 20)")
    compare.add_argument("--guidance", type=float, default=4.0, help="guidance scale (default: 4)")
    compare.add_argument("--out", required=True, help="PNG to write")
    add_model_options(compare)
    compare.set_defaults(run=run_compare)

    scores = commands.add_parser("evaluate", help="erased and kept accuracy, read by the judge (embedded model only)")
    scores.add_argument("--adapter", required=True, help="the .safetensors file")
    scores.add_argument("--images", type=int, default=2, help="pictures per concept (default: 2)")
    scores.add_argument("--steps", type=int, default=20, help="DDIM steps (default: 20)")
    scores.add_argument("--strength", type=float, default=1.0, help="strength of the adapter (default: 1)")
    scores.add_argument("--json", help="JSON file for all scores")
    scores.add_argument("--store", action="store_true", help="write the summary into the adapter's card")
    add_model_options(scores)
    scores.set_defaults(run=run_evaluate)


def run_probe(args: argparse.Namespace) -> None:
    for field, path, suffix in (("plot", args.plot, ".png"), ("json", args.json, ".json")):
        if path:
            check_writable(field, path, (suffix,))
    adapter = load_adapter(args.adapter)
    if args.space:
        check_source(args.space)
    if args.top < 1:
        raise ErasureError("top", f"{args.top} is too few", "Use at least 1.")
    denoiser = model_from(args)
    warn_mismatch(adapter, denoiser)
    space = args.space or denoiser.defaults.get("vocabulary", EraseConfig.vocabulary)
    spectrum = measure(denoiser, adapter, space, args.latents, args.strength)
    print(spectrum_text(spectrum, args.top))
    if args.json:
        write_json(args.json, spectrum.to_json())
    if args.plot:
        spectrum.draw(f"Sensitivity of {len(spectrum.kept())} concepts to erasing {_quoted(spectrum.erased)}", args.top).save(args.plot)
        print(f"wrote {args.plot}")


def measure(denoiser: Denoiser, adapter: ErasureAdapter, space: str, latents: int, strength: float = 1.0) -> Spectrum:
    return probe(denoiser, adapter, space, strength=strength, latents=latents, progress=bar("probing"), encoding=bar("encoding concepts"))


def spectrum_text(spectrum: Spectrum, top: int) -> str:
    kept = list(spectrum.kept().items())
    width = max((len(w) for w, _ in kept[:top]), default=0)
    lines = [f"most harmed of {len(kept)} concepts by erasing {_quoted(spectrum.erased)}:"]
    lines += [f"  {i + 1:3d}. {word:<{width}}  {value:.4f}" for i, (word, value) in enumerate(kept[:top])]
    lines += [f"  erased  {word!r}: {spectrum.values[word]:.4f}" for word in spectrum.erased]
    lines += [f"  neutral {word!r}: {spectrum.values[word]:.4f} ({100 * spectrum.percentile(word):.0f} % of concepts are harmed more)" for word in spectrum.neutral]
    return "\n".join(lines)


def run_compare(args: argparse.Namespace) -> None:
    out = check_writable("out", args.out, (".png",))
    _check_steps(args.steps)
    if not all(math.isfinite(s) for s in args.strengths):
        raise ErasureError("strengths", "not a finite number", "Use numbers such as 0, 0.5, 1.")
    adapters = [load_adapter(path) for path in args.adapter]
    denoiser = model_from(args)
    for adapter in adapters:
        warn_mismatch(adapter, denoiser)
    erased = [c["name"] for a in adapters for c in a.card.get("concepts", [])]
    grid = compare_grid(denoiser, adapters, args.prompts, args.strengths, args.seeds, f"Erased: {_quoted(erased)}", args.steps, args.guidance)
    grid.save(out)
    print(f"wrote {out}")


def compare_grid(
    denoiser: Denoiser, adapters: Sequence[ErasureAdapter], prompts: Sequence[str], strengths: Sequence[float], seeds: Sequence[int],
    title: str, steps: int = 20, guidance: float = 4.0,
):
    """One row per prompt, one column per strength, the same seeds everywhere."""
    erased = [c["name"] for a in adapters for c in a.card.get("concepts", [])]
    hit = exclusions(denoiser, prompts, erased) if erased else {}
    progress, total = bar("drawing"), len(strengths) * len(prompts) * len(seeds)
    columns = []
    for number, strength in enumerate(strengths):
        with ExitStack() as stack:
            for adapter in adapters if strength else ():
                stack.enter_context(adapter.on(denoiser, strength))
            done = number * len(prompts) * len(seeds)
            images = generate(denoiser, [p for p in prompts for _ in seeds], list(seeds) * len(prompts), steps=steps, guidance=guidance,
                              progress=lambda d, _, done=done: progress(done + d, total))
        columns.append(images.unflatten(0, (len(prompts), len(seeds))))
    rows = [Row(p, [column[i] for column in columns], "erased" if p in hit else "to keep") for i, p in enumerate(prompts)]
    names = [_column_name(s, strengths) for s in strengths]
    return draw_grid(title, names, rows, f"{denoiser.name}, seeds {', '.join(map(str, seeds))}, {steps} steps, guidance {guidance:g}")


def _check_steps(steps: int) -> None:
    if not 1 <= steps <= 1000:
        raise ErasureError("steps", f"{steps} is out of range", "Use 1 to 1000.")


def _column_name(strength: float, strengths: Sequence[float]) -> str:
    if list(strengths) == [0.0, 1.0]:
        return "after" if strength else "before"
    return f"strength {strength:g}" if strength else "before (strength 0)"


def run_evaluate(args: argparse.Namespace) -> None:
    if args.model != "demo":
        raise ErasureError("model", "the judge knows the embedded model's concepts only", "Use --model demo, or 'probe' and 'compare', which work on every model.")
    if args.json:
        check_writable("json", args.json, (".json",))
    _check_steps(args.steps)
    if args.images < 1:
        raise ErasureError("images", f"{args.images} is too few", "Use at least 1.")
    adapter = load_adapter(args.adapter)
    denoiser = model_from(args)
    warn_mismatch(adapter, denoiser)
    scores = score(denoiser, adapter, args.images, args.steps, args.strength)
    print(score_text(scores))
    if args.json:
        write_json(args.json, scores)
    if args.store:
        store_scores(args.adapter, score_card(scores))


def score_card(scores: dict) -> dict:
    """The scores worth carrying in the file."""
    return {"erased": scores["erased"], **{k: {n: scores[k][n] for n in ("before", "after", "drop")} for k in ("kept", "worst10", "nearest10")}}


def score(denoiser: Denoiser, adapter: ErasureAdapter, images: int, steps: int, strength: float = 1.0) -> dict:
    from ..evaluation.judge import Judge
    from ..evaluation.scores import evaluate

    judge = Judge.load(JUDGE, denoiser.device)
    return evaluate(denoiser, adapter, judge, images=images, steps=steps, strength=strength, progress=bar("judging"))


def score_text(scores: dict) -> str:
    lines = [f"erased  {name!r}: recognised in {_percent(s['before'])} of the pictures before, {_percent(s['after'])} after" for name, s in scores["erased"].items()]
    lines += [f"erased  {printable(repr(name))}: the embedded model cannot draw it, so there is nothing to score" for name in scores["unknown"]]
    for key, label in (("kept", "kept"), ("worst10", "10 most harmed (by sensitivity)"), ("nearest10", "10 nearest in text space")):
        s = scores[key]
        lines.append(f"{label} ({len(s['units'])}): {_percent(s['before'])} before, {_percent(s['after'])} after, {round(100 * s['drop'], 1) + 0.0:+.1f} points lost")
    lines.append("most harmed: " + ", ".join(scores["worst10"]["units"]))
    return "\n".join(lines)


def warn_mismatch(adapter: ErasureAdapter, denoiser: Denoiser) -> None:
    reason = adapter.base_mismatch(denoiser)
    if reason:
        print(f"note: {reason}; the result may be weaker", flush=True)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"'{printable(w)}'" for w in words) or "an unknown concept"
