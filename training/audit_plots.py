"""The figures of an audit, each a function of what `training.audit.audit` found."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from training.plots import COLOURS, INK, MUTED, figure, label, legend

_TO = {"bonafide": COLOURS["bonafide"], "spoof": COLOURS["spoof"], "inconclusive": MUTED}
_ROW_INCHES = 0.27
_FRAME_INCHES = 1.0  # for axes and names, above and below the rows


def changed(transforms: Mapping[str, Mapping[str, Any]], *, matters: bool, point: str) -> Figure:
    """Verdicts that each transform changed and to what, with the interval of their sum; and the EER after it."""
    rows = [row for row in transforms.values() if row["matters"] == matters][::-1]
    canvas, (shares, rates) = figure(
        2,
        width_inches=9.5,
        height_inches=_FRAME_INCHES + _ROW_INCHES * max(len(rows), 3),
        sharey=True,
        width_ratios=[3, 2],
    )
    places = np.arange(len(rows))
    left = np.zeros(len(rows))
    for to, colour in _TO.items():
        width = np.array([row["points"][point][f"to_{to}_percent"] for row in rows])
        shares.barh(places, width, left=left, color=colour, height=0.6, label=f"to {to}")
        left += width
    for place, row in zip(places, rows, strict=True):
        shares.plot(row["points"][point]["changed_interval_percent"], [place, place], color=INK, linewidth=1)
        if row["eer_percent"] is not None:
            rates.plot(row["eer_interval_percent"], [place, place], color=MUTED, linewidth=1.4)
            rates.plot(row["eer_percent"], place, "o", color=INK, markersize=4)
    shares.set_yticks(places, [row["words"] for row in rows])
    shares.set_xlim(left=0)
    rates.tick_params(labelleft=False)
    label(shares, x="verdicts changed, %")
    label(rates, x="EER, %")
    canvas.legend(*shares.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    return canvas


def lengths(at: Mapping[str, Mapping[str, Any] | None]) -> Figure:
    """EER, and both error rates where verdicts are made, by how many seconds were heard."""
    canvas, (ax,) = figure(height_inches=3.4)
    known = {float(seconds): row for seconds, row in at.items() if row is not None}
    for key, words in (("bonafide", "bonafide called spoof"), ("spoof", "spoof called bonafide")):
        rows = {seconds: row[key] for seconds, row in known.items() if row[key] is not None}
        middle = np.array([row["error_percent"] for row in rows.values()])
        ends = np.array([row["error_interval_percent"] for row in rows.values()]).reshape(-1, 2)
        ax.plot(list(rows), middle, color=COLOURS[key], marker="o", markersize=4, label=words)
        ax.fill_between(list(rows), *ends.T, color=COLOURS[key], alpha=0.12, linewidth=0)
    rates = {seconds: row["eer_percent"] for seconds, row in known.items() if row["eer_percent"] is not None}
    ax.plot(list(rates), list(rates.values()), color=INK, marker="o", markersize=4, label="EER")
    ax.set_ylim(bottom=0)
    label(ax, x="seconds heard", y="%")
    legend(ax)
    return canvas


def non_speech(signals: Mapping[str, Mapping[str, Any]], points: Mapping[str, float]) -> Figure:
    """The score of each signal that nobody spoke, and the thresholds that it would be held against."""
    canvas, (ax,) = figure(width_inches=8, height_inches=_FRAME_INCHES + _ROW_INCHES * len(signals))
    for place, row in enumerate(reversed(list(signals.values()))):
        ax.plot(row["scores"], [place] * len(row["scores"]), "o", color=MUTED, alpha=0.6, markersize=4)
    for name, threshold in points.items():
        ax.axvline(threshold, color=INK, linewidth=1, linestyle="--")
        ax.annotate(f" {name}", (threshold, 1), xycoords=("data", "axes fraction"), rotation=35, fontsize=8, color=INK)
    ax.set_yticks(range(len(signals)), list(signals)[::-1])
    label(ax, x="score (higher speaks for bonafide)")
    return canvas
