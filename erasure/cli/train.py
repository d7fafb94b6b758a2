"""erase, demo: train an eraser."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from ..adapter import save_adapter, store_scores
from ..checkpoint import state_folder
from ..concepts.vocabulary import check_source
from ..config import Concept, EraseConfig, field_type
from ..denoiser import Denoiser
from ..errors import ErasureError
from ..files import check_writable, write_json
from ..hosts.demo import DemoDenoiser
from ..identity import run_identity
from ..pictures import draw_curves, stack, thumbnail
from ..recipes import configure, find_recipe
from ..sampling import generate
from ..trainer import EraseTrainer, TrainResult
from .common import add_model_options, bar, model_from

DEMO_CONCEPT = "fuel pump"


def add_commands(commands) -> None:
    erase = commands.add_parser("erase", help="erase concepts and write a LoRA file")
    erase.add_argument("--concept", action="append", required=True, help="what to erase; repeat for several")
    erase.add_argument("--target", action="append", default=[], help="what it becomes; once for all concepts or once for each (default: nothing in particular)")
    erase.add_argument("--exclude", action="append", default=[], help="a word that must not be preserved; repeat for several")
    erase.add_argument("--out", required=True, help="the .safetensors file to write; a report is written beside it as .report.json")
    erase.add_argument("--recipe", default="ap-ranked", help="see the command 'recipes' (default: ap-ranked)")
    erase.add_argument("--author", default="", help="written into the file")
    erase.add_argument("--notes", default="", help="written into the file")
    add_model_options(erase)
    _add_settings(erase)
    erase.set_defaults(run=run_erase)

    demo = commands.add_parser("demo", help="the whole job on the embedded model, with one picture at the end")
    demo.add_argument("--concept", default=DEMO_CONCEPT, help=f"what to erase (default: {DEMO_CONCEPT})")
    demo.add_argument("--out", default="output/demo", help="folder for the results (default: output/demo)")
    demo.add_argument("--steps", type=int, default=0, help="weight updates (default: as the recipe)")
    demo.add_argument("--threads", type=int, default=0, help="CPU threads (default: as torch chooses)")
    demo.set_defaults(run=run_demo, model="demo", model_config=None, device="auto", dtype="auto")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """One option per training setting; an option left out keeps the default of the model and recipe."""
    group = parser.add_argument_group("training settings", "Defaults shown are general; a recipe may have others.")
    for f in dataclasses.fields(EraseConfig):
        if f.name in ("concepts", "recipe"):
            continue
        kind, meta = field_type(f), f.metadata
        options: dict = {"dest": f"set_{f.name}", "default": None, "help": f"{meta['help']} (default: {_default(f)})".replace("%", "%%")}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif kind is tuple:
            options |= {"nargs": "*", "metavar": "TEXT"}
        else:
            options |= {"type": kind, "metavar": "|".join(meta["choices"]) or kind.__name__.upper()}
        group.add_argument("--" + f.name.replace("_", "-"), **options)


def _default(f: dataclasses.Field) -> str:
    suited = (("demo", DemoDenoiser.defaults), ("demo styles", DemoDenoiser.style_defaults))
    return "; ".join([_shown(f.default), *(f"{what}: {_shown(values[f.name])}" for what, values in suited if f.name in values)])


def _shown(value) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} texts" if len(value) > 2 else " ".join(map(repr, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_from(args: argparse.Namespace) -> dict:
    given = {k[4:]: v for k, v in vars(args).items() if k.startswith("set_") and v is not None}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


def concepts_from(args: argparse.Namespace) -> list[Concept]:
    targets = args.target * len(args.concept) if len(args.target) == 1 else args.target or [""] * len(args.concept)
    if len(targets) != len(args.concept):
        raise ErasureError("target", f"{len(args.target)} targets for {len(args.concept)} concepts", "Give one for all, or one for each in order.")
    return [Concept(name, target, tuple(args.exclude)) for name, target in zip(args.concept, targets)]


def run_erase(args: argparse.Namespace) -> int:
    concepts, out = concepts_from(args), check_writable("out", args.out, (".safetensors",))
    settings = settings_from(args)
    find_recipe(args.recipe)
    draft = EraseConfig(concepts=tuple(concepts), **settings).validate()  # before the model is loaded
    check_source(draft.vocabulary)
    denoiser = model_from(args)
    config = configure(denoiser, args.recipe, concepts, **settings)
    return 1 if train(denoiser, config, out, args.author, args.notes).stopped else 0


def train(denoiser: Denoiser, config: EraseConfig, out: Path, author: str = "", notes: str = "") -> TrainResult:
    """Train with a progress bar and write the result; Ctrl-C stops after the current update and keeps the state."""
    folder, bars = state_folder(out, run_identity(denoiser, config)), {}

    def show(event: dict) -> None:
        if event["event"] == "prepare":
            stage = event["stage"]
            bars.setdefault(stage, bar(stage))(event["done"], event["total"])
            return
        if event["event"] == "resume":
            print(f"resuming at update {event['step']} of {event['steps']}", flush=True)
            bars["erasing"] = bar("erasing", event["step"])
            return
        protected = f"preserving {event['adversarial'][0]}" if event["adversarial"] else "preserving nothing"
        bars.setdefault("erasing", bar("erasing"))(event["step"] + 1, event["steps"], f"loss {event['loss']:.4g}, {protected}" if event["loss"] is not None else "")

    trainer = EraseTrainer(denoiser, config, show, folder)
    with stop_on_interrupt(trainer):
        result = trainer.run()
    write_result(denoiser, result, out, author, notes)
    if not result.stopped:
        trainer.discard_state()
    return result


@contextmanager
def stop_on_interrupt(trainer: EraseTrainer):
    """The first Ctrl-C ends training cleanly, the second one at once; before the first update there is nothing to end."""

    def handler(_signal, _frame):
        if not trainer.step:
            raise KeyboardInterrupt  # nothing to keep yet
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this update; press Ctrl-C again to quit at once", file=sys.stderr)
        trainer.stop()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def write_result(denoiser: Denoiser, result: TrainResult, out: Path, author: str, notes: str) -> None:
    """Write the adapter with its thumbnail, and the report; say what was done."""
    adapter, prompt = result.adapter, result.report["concepts"][0]["name"]
    save_adapter(adapter, out, author=author, notes=notes)  # first of all; the thumbnail takes a moment
    write_json(report_path(out), result.report)
    (before,) = generate(denoiser, [prompt], [0])
    with adapter.on(denoiser):
        (after,) = generate(denoiser, [prompt], [0])
    save_adapter(adapter, out, author=author, notes=notes, thumbnail=thumbnail(before, after))
    print(summary(result, out))


def report_path(out: Path) -> Path:
    """Beside the adapter; not `<name>.json`, where A1111 and Forge keep the user's own notes on a LoRA."""
    return out.with_name(f"{out.stem}.report.json")


def summary(result: TrainResult, out: Path) -> str:
    report = result.report
    found = Counter(w for record in result.history for w in record["adversarial"]).most_common(8)
    erased = [r["erased"] for r in result.history[-50:] if r["erased"] is not None]
    lines = [
        f"wrote {out} ({out.stat().st_size / 1024:.0f} KiB) and {report_path(out).name}",
        f"  {report['steps_done']} updates in {report['seconds']:.0f} s, {report['forward_equivalents_per_update']} network evaluations an update, "
        f"peak memory {', '.join(f'{v:.0f} MiB {k}' for k, v in report['peak_memory_mb'].items())}",
    ]
    if erased:
        lines.append(f"  erased: {100 * sum(erased) / len(erased):.0f} % of the way to the target (last 50 updates)")
    if found:
        lines.append("  preserved most often: " + ", ".join(f"{word} ({count})" for word, count in found))
    if result.stopped:
        lines.append(f"  stopped early: {result.stopped}. The same command goes on from here.")
    return "\n".join(lines)


def _known(name: str) -> str:
    """The concept of the embedded model that a name or synonym means.

    Raises:
        ErasureError: it cannot draw that, so there is nothing to show.
    """
    from ..evaluation.scores import demo_units, unit_of

    units = sorted(set(demo_units().values()))
    if unit_of(name) not in units:
        raise ErasureError("concept", f"the embedded model cannot draw '{name}'", f"Use one of: {', '.join(units)}.")
    return unit_of(name)


def run_demo(args: argparse.Namespace) -> int:
    """Erase, probe, compare, evaluate; everything lands in one folder, with one picture to look at."""
    from . import look

    folder, concept = Path(args.out), _known(args.concept)
    out = check_writable("out", folder / f"{concept.replace(' ', '-')}.safetensors", (".safetensors",))
    denoiser = model_from(args)
    config = configure(denoiser, "ap-ranked", [concept], **({"steps": args.steps} if args.steps else {}))
    result = train(denoiser, config, out)
    if result.stopped:
        return 1
    adapter = result.adapter
    scores = look.score(denoiser, adapter, images=1, steps=6)  # recognised as often as after 20
    write_json(folder / "scores.json", scores)
    store_scores(out, look.score_card(scores))
    spectrum = look.measure(denoiser, adapter, "demo", latents=4)
    write_json(folder / "probe.json", spectrum.to_json())
    shown = [f"a cat in {concept}", f"a house in {concept}"] if concept.endswith(" style") else [concept]
    prompts = [*shown, *list(spectrum.kept())[:2], "bus", "cat"]
    grid = look.compare_grid(denoiser, [adapter], prompts, [0.0, 0.5, 1.0], [0, 1], f"'{concept}' erased from the embedded model")
    picture = stack([grid, spectrum.draw(f"What erasing '{concept}' did to {len(spectrum.kept())} other concepts", top=12),
                     draw_curves(result.history, "Training")])
    picture.save(folder / "demo.png")
    print(look.score_text(scores))
    print(f"look at {folder / 'demo.png'}")
    return 0
