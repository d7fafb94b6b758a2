"""Charts: the sensitivity spectrum, the training curves and measurements side by side, drawn with matplotlib off screen."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

_BLUE, _RED, _GREEN, _GREY = "#3b6fb6", "#c42b2b", "#167a4a", "#6e7480"
_LINE = 0.05  # height of a line of text in the spectrum, as a share of the axes


@dataclass(frozen=True)
class Marked:
    """A concept pointed out in the spectrum: role "erased" (red star) or "neutral" (green diamond)."""

    word: str
    value: float
    role: str


def draw_spectrum(values: Mapping[str, float], marked: Sequence[Marked], title: str, top: int = 20) -> Image.Image:
    """All concepts sorted by sensitivity, the most and least harmed by name, target and neutral prompts marked.

    Args:
        values: concept -> sensitivity (>= 0).
        top: how many of the most harmed to name.
    """
    ordered = sorted(values.items(), key=lambda item: -item[1])
    figure = _figure(11.5, 6.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.45, 1))
    _draw_sorted(left, ordered, marked)
    _draw_bars(right, ordered, min(top, len(ordered)))
    figure.suptitle(_plain(title), x=0.02, ha="left", fontsize=15, fontweight="bold")
    return _render(figure)


def _draw_sorted(axes, ordered, marked: Sequence[Marked]) -> None:
    y = np.array([v for _, v in ordered])
    floor = max(float(y[y > 0].min()) / 2 if (y > 0).any() else 0.0, y.max() * 1e-5, 1e-12)
    y = y.clip(floor)
    axes.fill_between(range(len(y)), floor, y, color=_BLUE, alpha=0.18, linewidth=0)
    axes.plot(y, color=_BLUE, linewidth=2)
    axes.set_yscale("log")
    axes.set_xlim(-0.02 * len(y), 1.02 * len(y))
    axes.set_xlabel("concepts, most harmed first")
    axes.set_ylabel("sensitivity (change / the concept's own effect)")
    style = {"erased": ("*", _RED, 240), "neutral": ("D", _GREEN, 56)}
    placed = [(m, int((y > m.value).sum()), max(m.value, floor)) for m in sorted(marked, key=lambda m: m.value)]
    for mark, rank, height in placed:
        symbol, colour, size = style[mark.role]
        axes.scatter([rank], [height], marker=symbol, s=size, color=colour, zorder=3, edgecolors="white", linewidths=0.8)
    bottom = 0.0  # where the next label may begin, as a share of the height: labels come from the bottom up
    for group in _close_together(axes, placed):
        _, rank, height = group[-1]
        left = min(0.72, rank / len(y) + 0.05)
        curve = y[min(int(left * len(y)), len(y) - 1)]  # it falls: over the label it is highest at the left
        low = min(max(_share(axes, height) + 0.04, _share(axes, curve) + 0.03, bottom), 1 - _LINE * len(group))
        bottom = low + _LINE * len(group)
        colour, start = style[group[0][0].role][1], min(max(4 * (rank / len(y) - left), 0.0), 1.0)  # a label is about a quarter wide
        axes.annotate(
            "\n".join(_plain(m.word) or '"" (empty prompt)' for m, _, _ in reversed(group)), (rank, height), xycoords="data", textcoords=axes.transAxes,
            xytext=(left, low), color=colour, fontsize=11, va="bottom", arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.8, "relpos": (start, 0), "shrinkB": 6},
        )


def _share(axes, value: float) -> float:
    """Height of `value` as a share of the axes."""
    low, high = np.log10(axes.get_ylim())
    return float((np.log10(value) - low) / (high - low))


def _close_together(axes, marks: list[tuple[Marked, int, float]]) -> list[list[tuple[Marked, int, float]]]:
    """Neighbours of one role whose labels would overlap share one: groups of (mark, rank, height), from the bottom up."""
    groups: list[list[tuple[Marked, int, float]]] = []
    for mark in marks:
        last = groups[-1][-1] if groups else None
        if last and last[0].role == mark[0].role and _share(axes, mark[2]) - _share(axes, last[2]) < _LINE:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return groups


def _draw_bars(axes, ordered, top: int) -> None:
    least = ordered[-5:] if len(ordered) > top + 5 else []
    rows = ordered[:top] + ([("...", 0.0)] if least else []) + least
    positions = np.arange(len(rows))
    axes.barh(positions, [v for _, v in rows], color=[_BLUE] * top + [_GREY] * (len(rows) - top), height=0.72)
    axes.set_yticks(positions, [_plain(w) or '""' for w, _ in rows], fontsize=min(10, 260 / len(rows)))
    axes.invert_yaxis()
    axes.set_xlabel("sensitivity")
    axes.set_title(f"{top} most harmed" + (" and 5 least" if least else ""), fontsize=11, loc="left")


def draw_curves(history: Sequence[Mapping], title: str) -> Image.Image:
    """Erased share (running mean) and the preservation loss over the updates."""
    figure = _figure(11.5, 3.2)
    left, right = figure.subplots(1, 2)
    steps = np.array([record["step"] for record in history])
    for axes, name, colour, label in ((left, "erased", _RED, "erased (1 = target reached)"), (right, "preserve", _GREEN, "preservation loss")):
        values = np.array([np.nan if record[name] is None else record[name] for record in history], float)
        axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
        axes.plot(steps, _running_mean(values), color=colour, linewidth=2)
        axes.set_xlabel("update")
        axes.set_title(label, fontsize=11, loc="left")
    left.set_ylim(-0.1, 1.05)
    figure.suptitle(_plain(title), x=0.02, ha="left", fontsize=15, fontweight="bold")
    return _render(figure)


def draw_side_by_side(measured: Mapping[str, Mapping[str, Sequence[float]]], title: str, best: str = "", note: str = "") -> Image.Image:
    """Every measurement as a dot, their mean and its standard error as a diamond: one panel a measure, one row a method.

    Args:
        measured: measure -> method -> values; every measure has the same methods.
        best: the method to draw in colour.
        note: what a dot is, and whatever else a reader must know.
    """
    methods = list(next(iter(measured.values())))
    figure = _figure(3.6 * len(measured) + 0.8, 0.42 * len(methods) + 1.8)
    panels = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    spread = np.random.default_rng(0)  # dots of equal value lie beside each other
    for axes, (measure, values) in zip(panels, measured.items()):
        for row, method in enumerate(methods):
            found, colour = np.asarray(values[method], float), _BLUE if method == best else _GREY
            axes.plot(found, row + spread.uniform(-0.22, 0.22, len(found)), ".", color=colour, alpha=0.3, markersize=6, markeredgewidth=0)
            error = found.std(ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0.0
            axes.errorbar(found.mean(), row, xerr=error, fmt="D", color=colour, markersize=7, capsize=3, linewidth=1.8)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_title(measure, fontsize=11, loc="left")
    panels[0].set_yticks(range(len(methods)), [_plain(m) for m in methods])
    panels[0].invert_yaxis()
    figure.suptitle(_plain(title), x=0.02, ha="left", fontsize=15, fontweight="bold")
    figure.supxlabel(_plain(f"{note}; diamond: mean, bar: its standard error".lstrip("; ")), x=0.02, ha="left", fontsize=10, color=_GREY)
    return _render(figure)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Centred mean over about a twelfth of the values; gaps (NaN) are left out."""
    window = np.ones(max(1, min(31, len(values) // 12)))
    known = np.isfinite(values)
    total = np.convolve(np.where(known, values, 0.0), window, mode="same")
    count = np.convolve(known.astype(float), window, mode="same")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)[: len(values)]


def _plain(text: str) -> str:
    """Text in which a dollar sign does not start a formula."""
    return text.replace("$", r"\$")


def _figure(width: float, height: float):
    from matplotlib.figure import Figure  # imported here: a second that most commands do not need

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    return figure


def _render(figure) -> Image.Image:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, alpha=0.25, linewidth=0.6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")
