"""The figures of a model's report, each a function of data that returns a Figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit
from scipy.stats import norm

from training.evaluation_plots import DET_TICKS
from training.metrics import calibration_curve, detection_curve, equal_error_rate, error_rates, reliability_bins
from training.plots import COLOURS, INK, MUTED, figure, label, legend, percent, percent_axes
from training.trials import FloatArray, Scores

_STYLES = ((INK, "-"), (MUTED, "--"), (MUTED, ":"))
_MARKERS = "<D>"  # of operating points, from low friction to high security
_HEARD = ((True, "o", INK, "drawn in training"), (False, "s", "white", "never drawn in training"))


def eer_by_channel(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The EER and its interval through each channel, in the order given from the top.

    Parameters
    ----------
    rows : sequence of mapping
        `words`, `heard` (whether training drew the channel), `eer_percent` and `interval_percent`.
    """
    canvas, (ax,) = figure(height_inches=1.2 + 0.32 * len(rows))
    for heard, marker, face, name in _HEARD:
        places = [place for place, row in enumerate(rows) if row["heard"] is heard]
        if places:
            low, high = np.array([rows[place]["interval_percent"] for place in places]).T / 100
            ax.hlines(places, low, high, color=INK, linewidth=2)
            eers = [rows[place]["eer_percent"] / 100 for place in places]
            ax.plot(eers, places, marker, color=INK, markerfacecolor=face, markersize=7, label=name)
    ax.set_yticks(range(len(rows)), [row["words"] for row in rows])
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, None))
    percent_axes(ax, "x")
    label(ax, x="EER, with 95 % interval")
    legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return canvas


def det_by_channel(by_name: Mapping[str, Scores], *, points: Mapping[str, float]) -> Figure:
    """Both error rates at every threshold on normal deviate scales, as `evaluation_plots.det`, a curve for each name.

    Parameters
    ----------
    by_name : mapping of str to Scores
        One to three of them.
    points : mapping of str to float
        The thresholds of the three operating points; each is a mark on each curve.
    """
    canvas, (ax,) = figure(width_inches=5.6, height_inches=5.2)
    sizes = [size for scores in by_name.values() for size in (scores.bonafide.size, scores.spoof.size)]
    lowest = float(np.clip(0.5 / max(sizes), 5e-4, 2e-2))
    limits = np.asarray(norm.ppf([lowest, 1 - lowest]))

    def place(rates: FloatArray) -> FloatArray:
        return np.asarray(norm.ppf(np.clip(rates, lowest, 1 - lowest)))

    ax.plot(limits, limits, color=MUTED, linewidth=1, linestyle=":", label="equal error")
    for (name, scores), (colour, line) in zip(by_name.items(), _STYLES, strict=False):
        curve = detection_curve(scores)
        eer = 100 * equal_error_rate(scores).rate
        x, y = place(curve.false_accept_rate), place(curve.false_reject_rate)
        ax.plot(x, y, line, color=colour, linewidth=1.6, label=f"{name}: EER {eer:.1f} %")
        for threshold, marker in zip(points.values(), _MARKERS, strict=True):
            rates = error_rates(scores, threshold=threshold)
            at = place(np.array([rates.false_accept_rate, rates.false_reject_rate]))
            ax.plot(*at, marker, color=colour, markersize=7)
    for name, marker in zip(points, _MARKERS, strict=True):
        ax.plot([], [], marker, color=MUTED, markersize=7, label=name.replace("_", " "))
    ticks = [tick for tick in DET_TICKS if lowest <= tick <= 1 - lowest]
    names = [percent(tick) for tick in ticks]
    ax.set_xticks(norm.ppf(ticks), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(norm.ppf(ticks), names)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    label(ax, x="spoofs called bonafide", y="bonafide clips called spoof")
    legend(ax, loc="upper right", frameon=True, framealpha=0.9, edgecolor="white")
    return canvas


def reliability_by_class(by_class: Mapping[str, Scores]) -> Figure:
    """How often a clip is bonafide against how often its score says so, by class of channel.

    As `evaluation_plots.reliability`, a panel for each class.
    """
    canvas, axes = figure(len(by_class), width_inches=3.3 * len(by_class) + 0.4, height_inches=3.7, sharey=True)
    for ax, (name, scores) in zip(axes, by_class.items(), strict=True):
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="calibrated")
        claimed, observed = calibration_curve(scores)
        ax.plot(claimed, observed, drawstyle="steps-mid", color=INK, linewidth=1.6, label="observed")
        for low, high, middle in reliability_bins(scores):
            ax.plot([middle, middle], [low, high], color=INK, linewidth=4, alpha=0.25, solid_capstyle="butt")
        for values, key, level in ((scores.bonafide, "bonafide", 1.05), (scores.spoof, "spoof", -0.05)):
            ax.plot(expit(values), np.full(values.size, level), "|", color=COLOURS[key], markersize=6, alpha=0.25)
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.09, 1.09), aspect="equal")
        percent_axes(ax, "x", "y")
        title = f"{name}: {scores.bonafide.size} bonafide, {scores.spoof.size} spoof"
        label(ax, x="claimed share of bonafide", y="observed" if ax is axes[0] else "", title=title)
    legend(axes[0], loc="upper left", bbox_to_anchor=(0.0, 0.94))
    return canvas
