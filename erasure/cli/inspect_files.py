"""inspect, recipes: what is in a file, what can be chosen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..adapter import load_adapter, read_metadata
from ..errors import printable
from ..recipes import RECIPES


def add_commands(commands) -> None:
    inspect = commands.add_parser("inspect", help="what an eraser file says of itself")
    inspect.add_argument("adapter", help="the .safetensors file")
    inspect.add_argument("--json", action="store_true", help="print the whole card as JSON")
    inspect.set_defaults(run=run_inspect)
    recipes = commands.add_parser("recipes", help="the methods to choose from")
    recipes.set_defaults(run=run_recipes)


def run_inspect(args: argparse.Namespace) -> None:
    adapter = load_adapter(args.adapter)
    if args.json:
        print(json.dumps(adapter.card, indent=1, ensure_ascii=True))
        return
    card, metadata = adapter.card, read_metadata(args.adapter)
    base = card.get("base", {})
    rows = {
        "title": metadata.get("modelspec.title", Path(args.adapter).stem),
        "erases": ", ".join(c["name"] + (f" -> {c['target']}" if c["target"] else "") for c in card.get("concepts", [])) or "not an eraser of this tool",
        "recipe": f"{card.get('recipe', '?')} ({card.get('source', '')})",
        "base": f"{base.get('name', '?')}, {metadata.get('modelspec.architecture', '?')}, hash {str(base.get('hash', '?'))[:10]}",
        "layers": f"{len(adapter.layers)}, rank {adapter.rank}, alpha {adapter.alpha:g}",
        "preserved": ", ".join(card.get("preserved", [])) or "nothing",
        "scores": _scores(card.get("scores")),
        "updates": str(card.get("steps_done", "?")),
        "author": metadata.get("modelspec.author", "-"),
        "usage": metadata.get("modelspec.usage_hint", "-"),
        "thumbnail": "yes" if "modelspec.thumbnail" in metadata else "no",
        "weights": f"sha256 {metadata.get('sshs_model_hash', '?')[:12]} (without header)",
    }
    for name, value in rows.items():
        print(f"{name:>10}  {printable(value)}")


def _scores(scores: object) -> str:
    """The accuracies in a card, as text; whatever else stands there is not shown."""
    try:
        erased = ", ".join(f"{name} {s['before']:.0%} -> {s['after']:.0%}" for name, s in scores["erased"].items())
        return f"recognised: {erased}; kept {scores['kept']['before']:.0%} -> {scores['kept']['after']:.0%}"
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
        return "not measured"


def run_recipes(_args: argparse.Namespace) -> None:
    for recipe in RECIPES.values():
        names = " / ".join((recipe.name, *recipe.aliases))
        settings = ", ".join(f"{name} {value}" for name, value in recipe.settings.items())
        print(f"{names:<12} {recipe.summary}\n{'':<12} {recipe.source}\n{'':<12} {settings}")
