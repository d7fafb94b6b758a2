"""Does searching for the concept to preserve help? Every preservation, at equal erasure, on the embedded model.

Each run trains one adapter, and scores it at a strength, found by bisection, at which the judge recognises the erased concept in
at most 5 % of 20 pictures (an object in all styles, a style on many objects): the accuracy it cost all kept concepts,
the 10 that suffer most and the 10 nearest in text space. Everything but the preservation is equal. Results are kept run
by run, so the benchmark can be interrupted and split over processes:

    python benchmarks/preservation.py --shard 1/2 &  python benchmarks/preservation.py --shard 2/2
    python benchmarks/preservation.py --table
"""

from __future__ import annotations

import argparse
import bisect
import functools
import json
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from erasure import trainer as training  # noqa: E402
from erasure.concepts import NEUTRAL_PROMPTS, build_concept_space  # noqa: E402
from erasure.evaluation.judge import Judge  # noqa: E402
from erasure.evaluation.scores import Plan, demo_plan, recognised, recognised_before, summarise  # noqa: E402
from erasure.files import write_atomic, write_json  # noqa: E402
from erasure.hosts.demo import JUDGE, load_demo  # noqa: E402
from erasure.latents import TrajectoryPool  # noqa: E402
from erasure.pictures import draw_side_by_side  # noqa: E402
from erasure.pictures.grid import png_bytes  # noqa: E402
from erasure.recipes import configure  # noqa: E402
from erasure.sensitivity import gap, normalised, predictions, shared_latents  # noqa: E402

HERE = Path(__file__).parent
TABLE = HERE / "preservation.md"
OBJECTS = ("fuel pump", "church", "dog", "parachute", "postal horn", "saw", "banana", "ambulance")
STYLES = ("ink style", "pencil sketch style")
RECIPES = ("esd", "fixed", "random", "nearest", "pgd", "ap", "ap-ranked")
OURS = "ap-ranked"
COLUMNS = {"kept": 1, "worst10": 1, "nearest10": 1, "sensitivity": 2, "sensitivity10": 1}  # and their decimals, as percentages
SEEDS = (0, 1, 2)
STEPS, STYLE_STEPS, GOAL, PICTURES = 80, 240, 0.05, 20
STRENGTHS = [k / 8 for k in range(1, 17)]
COMMON = {"weighting": "uniform"}  # the recipes differ in nothing but the preservation
SAMPLER = {"steps": 6, "guidance": 4.0}  # recognised as often as after 10 or 20 steps
_rolled: dict[tuple[int, str], object] = {}


class SharedPool(TrajectoryPool):
    """Trajectories of the untouched model depend on prompt and seed alone: the runs of a process share them, and each counts their cost."""

    def ensure(self, keys, lora, progress=None):
        missing = [k for k in dict.fromkeys(keys) if k not in self.held]
        for key in missing:
            if (self.seed, key) in _rolled:
                self.held[key] = _rolled[self.seed, key]
                self.denoiser.forwards += 2 * self.requests[key].steps
        super().ensure(keys, lora, progress)
        _rolled.update({(self.seed, key): self.held[key] for key in missing})


training.TrajectoryPool = SharedPool


def run_one(denoiser, judge: Judge, concept: str, recipe: str, seed: int, images: int) -> dict:
    """Train, find the strength that erases, score at that strength."""
    steps = STYLE_STEPS if concept in STYLES else STEPS
    result = training.EraseTrainer(denoiser, configure(denoiser, recipe, [concept], seed=seed, steps=steps, **COMMON)).run()
    goal_plan, column, course = erased_plan(concept), int(concept in STYLES), {}

    def erased(strength: float) -> bool:
        with drawing(), result.adapter.on(denoiser, strength):
            course[strength] = recognised(denoiser, judge, goal_plan, **SAMPLER)[:, column].float().mean().item()
        return round(course[strength], 4) <= GOAL

    found = bisect.bisect_left(STRENGTHS, True, key=erased)
    strength = STRENGTHS[min(found, len(STRENGTHS) - 1)]
    plan = demo_plan(images, focus=[concept])
    with drawing():
        before = recognised_before(denoiser, judge, plan, **SAMPLER)
        with result.adapter.on(denoiser, strength):
            after = recognised(denoiser, judge, plan, **SAMPLER)
    scores = summarise(denoiser, plan, before, after, [concept], lambda kept: harm(denoiser, result.adapter, strength, kept, concept))
    return {
        "concept": concept, "recipe": recipe, "seed": seed, "strength": strength, "reached": found < len(STRENGTHS),
        "course": {s: round(v, 4) for s, v in sorted(course.items())},
        "evaluations_per_update": result.report["forward_equivalents_per_update"], "seconds_training": result.report["seconds"],
        "erased": scores["erased"].get(concept, {}).get("after"), **{k: scores[k]["drop"] for k in ("kept", "worst10", "nearest10")},
        "sensitivity": scores["sensitivity"]["kept"], "sensitivity10": scores["sensitivity"]["worst10"],
    }


def harm(denoiser, adapter, strength: float, kept: list[str], concept: str) -> dict[str, float]:
    """What `probe` finds, with the untouched model's predictions made once for all runs."""
    space, shared, d_off = untouched(denoiser)
    rows = [space.words.index(w) for w in (*kept, concept, *NEUTRAL_PROMPTS)]
    with adapter.on(denoiser, strength):
        d_on = predictions(denoiser, space.cond[rows].to("cpu", torch.float32), shared)
    change = (d_on - d_off[rows]).square().flatten(1).mean(1)
    return dict(zip(kept, normalised(change, gap(d_off[rows], shared)).tolist()))


@functools.cache
def untouched(denoiser):
    space = build_concept_space(denoiser, "demo").with_words(denoiser, NEUTRAL_PROMPTS)
    shared = shared_latents(denoiser, 2, seed=0)
    return space, shared, predictions(denoiser, space.cond.to("cpu", torch.float32), shared)


def drawing():
    """Pictures to be judged are drawn in bfloat16, before and after alike: three times faster on a CPU that has it."""
    return torch.autocast("cpu", torch.bfloat16)


def erased_plan(concept: str) -> Plan:
    """`PICTURES` that show the concept: an object in every style, or a style on many objects."""
    plan = demo_plan(7 if concept in STYLES else 1, focus=[concept], focus_images=PICTURES, seed=2000)  # never the pictures that are scored
    rows = [i for i in range(len(plan.prompts)) if concept in (plan.objects[i], f"{plan.styles[i]} style")]
    rows = rows[:: max(1, len(rows) // PICTURES)][:PICTURES]
    return Plan(*(tuple(values[i] for i in rows) for values in (plan.prompts, plan.objects, plan.styles, plan.seeds)))


def write_table(runs: list[dict], path: Path) -> None:
    """Objects and styles apart: one row per recipe, means over concepts and seeds with the standard error of the mean."""
    lines = [
        "# Preservation at equal erasure, embedded model", "",
        f"{len(runs)} runs, alike in everything but the preservation: {STEPS} updates for an object, {STYLE_STEPS} for a style; lambda 20, for a style 5; for pgd 1,",
        "where more forbids the erasure; uniform weighting for all. Each adapter is scored at a strength of its own: bisection finds one (in",
        f"eighths, up to {STRENGTHS[-1]:g}) at which at most {100 * GOAL:.0f} % of {PICTURES} pictures still show the erased concept; a run that does not get there is scored at {STRENGTHS[-1]:g}.",
        "Pictures: 6 DDIM steps, guidance 4, bfloat16.", "",
        "- *reached*: runs that got there. *erased*: the share of other pictures (14 of an object, 19 of a style) that show it at this strength, in %.",
        "- *kept*, *10 most harmed*, *10 nearest* (in text space): points of accuracy lost, lower is better; one picture a concept, so that",
        "  the groups of 10 move in steps of 10 points.",
        "- *harm*: squared change of the predictions as a share of the squared effect of the concept itself, in %, on two shared noisy",
        "  latents; it also says which 10 are most harmed.",
        "- *evaluations*: network evaluations per update, a backward pass counted as two, sampling included.",
        "- Means and their standard errors over concepts and seeds.", "",
        "`make -C benchmarks` measures what is missing here, `make -C benchmarks fresh` everything again.",
    ]
    for title, concepts in (("Objects", OBJECTS), ("Styles", STYLES)):
        mine = [r for r in runs if r["concept"] in concepts]
        if mine:
            seeds = ", ".join(map(str, sorted({r["seed"] for r in mine})))
            lines += ["", f"## {title}", "", f"{len(mine)} runs: {', '.join(dict.fromkeys(r['concept'] for r in mine))}; seeds {seeds}.", "", *_means(mine), "", *_differences(mine)]
    write_atomic(path, ("\n".join(lines) + "\n").encode())


def _means(runs: list[dict]) -> list[str]:
    lines = ["| preservation | runs | reached | erased | kept | 10 most harmed | 10 nearest | harm | harm of the 10 | strength | evaluations |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for recipe in RECIPES:
        mine = [r for r in runs if r["recipe"] == recipe]
        if mine:
            cells = [_mean(100 * r["erased"] for r in mine)] + [_mean((100 * r[k] for r in mine), digits) for k, digits in COLUMNS.items()]
            cells += [_mean((r["strength"] for r in mine), 2), _mean((r["evaluations_per_update"] for r in mine), 1)]
            lines.append(f"| {recipe} | {len(mine)} | {sum(r['reached'] for r in mine)} | " + " | ".join(cells) + " |")
    return lines


def _differences(runs: list[dict]) -> list[str]:
    """What ap-ranked saves against each other recipe, run by run on the same concept and seed."""
    by_job = {(r["concept"], r["seed"], r["recipe"]): r for r in runs}
    lines = [
        f"What `{OURS}` saves against each other, on the same concept and seed (positive: `{OURS}` is better):", "",
        "| against | pairs | kept | 10 most harmed | 10 nearest | harm | harm of the 10 | pairs with less harm to the 10 |", "|---|---|---|---|---|---|---|---|",
    ]
    for recipe in RECIPES:
        pairs = [(r, by_job[c, s, OURS]) for (c, s, name), r in by_job.items() if name == recipe != OURS and (c, s, OURS) in by_job]
        if pairs:
            cells = [_mean((100 * (theirs[k] - ours[k]) for theirs, ours in pairs), digits) for k, digits in COLUMNS.items()]
            better = sum(ours["sensitivity10"] < theirs["sensitivity10"] for theirs, ours in pairs)
            lines.append(f"| {recipe} | {len(pairs)} | " + " | ".join(cells) + f" | {better} of {len(pairs)} |")
    return lines


def picture(runs: list[dict]):
    """Every run as a dot, and the mean of each recipe."""
    panels = (("objects: points of accuracy lost, all kept", OBJECTS, "kept"), ("objects: harm to the 10 most harmed (%)", OBJECTS, "sensitivity10"),
              ("styles: harm to the 10 most harmed (%)", STYLES, "sensitivity10"))
    measured = {title: {r: [100 * x[key] for x in runs if x["recipe"] == r and x["concept"] in concepts] for r in RECIPES} for title, concepts, key in panels}
    short = sum(not r["reached"] for r in runs)
    note = f"dot: one of {len(runs)} runs (a concept and a seed)" + (f", {short} of them never erased completely" if short else "")
    return draw_side_by_side(measured, "What an equally complete erasure costs the other concepts", OURS, note)


def _mean(values, digits: int = 1) -> str:
    found = list(values)
    error = statistics.stdev(found) / len(found) ** 0.5 if len(found) > 1 else 0.0
    return f"{statistics.mean(found):.{digits}f} ± {error:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default=str(HERE / "runs"), help="folder that keeps one JSON per run")
    parser.add_argument("--shard", default="1/1", help="which part of the runs, as K/N")
    parser.add_argument("--images", type=int, default=1, help="pictures per kept concept")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--concepts", nargs="+", default=[*OBJECTS, *STYLES])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="measure again what the committed table has; give another folder with --runs")
    parser.add_argument("--table", action="store_true", help="only write the table of the runs there are")
    args = parser.parse_args()
    folder = Path(args.runs)
    if not args.table:
        run_shard(args, folder)
    runs = known_runs(folder, args.fresh)
    write_json(TABLE.with_suffix(".json"), runs)
    write_table(runs, TABLE)
    write_atomic(TABLE.with_suffix(".png"), png_bytes(picture(runs)))


def known_runs(folder: Path, fresh: bool) -> list[dict]:
    """Every finished run: those in the committed table unless `fresh`, and new ones in `folder`."""
    kept = TABLE.with_suffix(".json")
    runs = json.loads(kept.read_text()) if kept.is_file() and not fresh else []
    runs += [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
    return list({(r["concept"], r["recipe"], r["seed"]): r for r in runs}.values())


def run_shard(args: argparse.Namespace, folder: Path) -> None:
    torch.set_num_threads(args.threads)
    denoiser, judge = load_demo("cpu"), Judge.load(JUDGE)
    number, of = map(int, args.shard.split("/"))
    done = {(r["concept"], r["recipe"], r["seed"]) for r in known_runs(folder, args.fresh)}
    pairs = [(s, c) for s in args.seeds for c in args.concepts][number - 1 :: of]  # one process does all recipes of a pair
    for seed, concept, recipe in [(s, c, r) for s, c in pairs for r in args.recipes]:
        path = folder / f"{concept.replace(' ', '-')}.{recipe}.{seed}.json"
        if (concept, recipe, seed) not in done:
            found = run_one(denoiser, judge, concept, recipe, seed, args.images)
            write_json(path, found)
            print({k: found[k] for k in ("concept", "recipe", "seed", "strength", "erased", "kept", "worst10", "nearest10", "sensitivity", "sensitivity10")}, flush=True)


if __name__ == "__main__":
    main()
