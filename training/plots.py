"""The look of every figure - colours, axes, percent scales - and the curves of a training run.

Figures are made from `matplotlib.figure.Figure`, never through pyplot, whose global state outlives its
caller.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Okabe & Ito, "Color universal design", 2008: told apart with any common kind of colour blindness.
COLOURS = {"bonafide": "#0072B2", "spoof": "#D55E00"}
INK = "#1F2328"  # text, and what is neither class
MUTED = "#6E7781"  # axes, and what is there for comparison
RULE = "#D8DEE4"  # grid

DOTS_PER_INCH = 160


def figure(
    columns: int = 1, *, width_inches: float = 8.0, height_inches: float = 4.0, **subplots: Any
) -> tuple[Figure, list[Axes]]:
    """Make an empty figure, and its axes from left to right; `subplots` goes to `Figure.subplots`."""
    canvas = Figure(figsize=(width_inches, height_inches), layout="constrained", facecolor="white")
    axes = list(np.atleast_1d(canvas.subplots(1, columns, **subplots)))
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(MUTED)
        ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
        ax.grid(color=RULE, linewidth=0.7)
        ax.set_axisbelow(True)
    return canvas, axes


def label(ax: Axes, *, x: str, y: str = "", title: str = "") -> None:
    """Name the axes, with their units, and the panel."""
    ax.set_xlabel(x, fontsize=10, color=INK)
    ax.set_ylabel(y, fontsize=10, color=INK)
    ax.set_title(title, fontsize=11, color=INK, loc="left")


def legend(ax: Axes, **keywords: Any) -> None:
    """Explain what the axes' labelled artists are; `keywords` goes to `Axes.legend`."""
    ax.legend(**{"frameon": False, "fontsize": 9, "labelcolor": INK, **keywords})


def percent(fraction: float, _position: int | None = None) -> str:
    """Write a fraction as a tick's label: `0.1 %`, `5 %`."""
    return f"{100 * fraction:g} %"


def percent_axes(ax: Axes, *names: str) -> None:
    """Write the fractions on the axes `names`, "x" or "y" or both, in percent."""
    for name in names:
        getattr(ax, f"{name}axis").set_major_formatter(FuncFormatter(percent))


def save(canvas: Figure, path: Path) -> Path:
    """Write a PNG and return its path."""
    canvas.savefig(path, dpi=DOTS_PER_INCH)
    return path


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Every figure of every epoch, each with its dev twin.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One value for each epoch, by name: `loss`, `dev_loss`, `dev_eer`; rates as fractions.
    """
    panels: dict[str, list[str]] = {}
    for name in history:
        panels.setdefault(_quantity(name), []).append(name)
    canvas, axes = figure(len(panels), width_inches=max(2.7 * len(panels), 8.0), height_inches=3.0)
    for ax, (quantity, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            held_out = name != quantity
            epochs = range(1, len(history[name]) + 1)
            ax.plot(epochs, history[name], color=INK if held_out else MUTED, marker=".", label=name)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if quantity in {"eer", "accuracy"}:
            percent_axes(ax, "y")
        label(ax, x="epoch", title=quantity)
        legend(ax)
    return canvas


def _quantity(name: str) -> str:
    return name.removeprefix("dev_")
