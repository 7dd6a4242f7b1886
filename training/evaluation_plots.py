"""The figures of an evaluation, each a function of data that returns a Figure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy.special import expit
from scipy.stats import norm

from training.metrics import calibration_curve, detection_curve, equal_error_rate, error_rates, reliability_bins
from training.plots import COLOURS, INK, MUTED, figure, label, legend, percent, percent_axes
from training.trials import FloatArray, Scores

BINS = (24, 120)  # the fewest, for tens of clips, and the most
TAILS = (0.01, 0.99)
DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)
WHISKERS = (5, 95)  # percentiles
CLASSES = ("bonafide", "spoof")


def score_histogram(scores: Scores, *, threshold: float) -> Figure:
    """How each class's scores are distributed, with an area of 1 each, and the threshold between them.

    A hundredth of a class at either end may lie beyond the axis; it is counted in the outermost bins.
    """
    canvas, (ax,) = figure()
    ends = [threshold, *np.quantile(scores.bonafide, TAILS), *np.quantile(scores.spoof, TAILS)]
    bins = np.clip(np.sqrt(min(scores.bonafide.size, scores.spoof.size)), *BINS)
    edges = np.histogram_bin_edges(ends, bins=int(bins))
    for key, values in (("spoof", scores.spoof), ("bonafide", scores.bonafide)):
        density, _ = np.histogram(values.clip(edges[0], edges[-1]), bins=edges, density=True)
        ax.stairs(density, edges, fill=True, color=COLOURS[key], alpha=0.3)
        ax.stairs(density, edges, color=COLOURS[key], linewidth=1.4, label=key)
    ax.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label="threshold")
    ax.grid(visible=False, axis="x")
    label(ax, x="score (higher speaks for bonafide)", y="density")
    legend(ax)
    return canvas


def error_rates_by_threshold(scores: Scores, *, points: Mapping[str, float]) -> Figure:
    """Both error rates against the threshold, and the operating points by name."""
    canvas, (ax,) = figure()
    curve = detection_curve(scores)
    for rates, key, name in (
        (curve.false_accept_rate, "spoof", "false accepts (spoof called bonafide)"),
        (curve.false_reject_rate, "bonafide", "false rejects (bonafide called spoof)"),
    ):
        ax.step(curve.threshold[:-1], rates[:-1], where="pre", color=COLOURS[key], linewidth=1.6, label=name)
    ends = [*points.values(), *np.quantile(np.concatenate([scores.bonafide, scores.spoof]), TAILS)]
    margin = 0.03 * (max(ends) - min(ends))
    ax.set(xlim=(min(ends) - margin, max(ends) + margin), ylim=(0, 1))
    for name, threshold in points.items():
        ax.axvline(threshold, color=INK, linewidth=1, linestyle="--")
        ax.annotate(
            name.replace("_", " "),
            (threshold, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="top",
        )
    percent_axes(ax, "y")
    label(ax, x="threshold on the score", y="share of the class")
    legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return canvas


def reliability(scores: Scores) -> Figure:
    """How often a clip is bonafide against how often its score says so, where both classes are equally common.

    The step is the observed frequency, by pooling adjacent violators, which chooses its own bins; the bars are 95 %
    intervals of ten bins with as many clips each (Dimitriadis, Gneiting & Jordan, "Stable reliability diagrams for
    probabilistic classifiers", PNAS 118, 2021). Below, where the classes' scores lie.
    """
    canvas, (ax,) = figure(width_inches=5.4, height_inches=5.2)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="calibrated")
    claimed, observed = calibration_curve(scores)
    ax.plot(claimed, observed, drawstyle="steps-mid", color=INK, linewidth=1.6, label="observed")
    for low, high, middle in reliability_bins(scores):
        ax.plot([middle, middle], [low, high], color=INK, linewidth=4, alpha=0.25, solid_capstyle="butt")
    for key, values, level in (("bonafide", scores.bonafide, 1.045), ("spoof", scores.spoof, -0.045)):
        posterior = expit(values)
        ax.plot(posterior, np.full(values.size, level), "|", color=COLOURS[key], markersize=7, alpha=0.25, label=key)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.08, 1.08), aspect="equal")
    percent_axes(ax, "x", "y")
    label(ax, x="posterior of bonafide that the score claims, equal priors", y="share of bonafide observed")
    legend(ax, loc="upper left", bbox_to_anchor=(0.02, 0.94))
    return canvas


def roc(scores: Scores, *, threshold: float) -> Figure:
    """Bonafide clips accepted against spoofs accepted, at every threshold."""
    canvas, (ax,) = figure(width_inches=5, height_inches=4.8)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="chance")
    _draw_curve(ax, scores, threshold, place=lambda accept, reject: (accept, 1 - reject))
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    percent_axes(ax, "x", "y")
    label(ax, x="spoof accepted", y="bonafide accepted")
    legend(ax, loc="lower right")
    return canvas


def det(scores: Scores, *, threshold: float) -> Figure:
    """Both error rates at every threshold, on normal deviate scales: Gaussian scores give a straight line.

    Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    canvas, (ax,) = figure(width_inches=5, height_inches=4.8)
    lowest = float(np.clip(0.5 / max(scores.bonafide.size, scores.spoof.size), 5e-4, 2e-2))
    chosen = error_rates(scores, threshold=threshold)
    worst = max(chosen.false_accept_rate, chosen.false_reject_rate, 2 * equal_error_rate(scores).rate)
    highest = 0.6 if worst < 0.6 else 1 - lowest

    def place(accept: FloatArray, reject: FloatArray) -> tuple[FloatArray, FloatArray]:
        return norm.ppf(accept.clip(lowest, 1 - lowest)), norm.ppf(reject.clip(lowest, 1 - lowest))

    limits = np.asarray(norm.ppf([lowest, highest]))
    ax.plot(limits, limits, color=MUTED, linewidth=1, linestyle=":", label="equal error")
    _draw_curve(ax, scores, threshold, place=place)
    ticks = [tick for tick in DET_TICKS if lowest <= tick <= highest]
    ax.set_xticks(norm.ppf(ticks), [percent(tick) for tick in ticks], rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(norm.ppf(ticks), [percent(tick) for tick in ticks])
    margin = 0.02 * (limits[1] - limits[0])
    ax.set(xlim=(limits[0] - margin, limits[1]), ylim=(limits[0] - margin, limits[1]), aspect="equal")
    label(ax, x="false accepts (spoof taken for bonafide)", y="false rejects")
    legend(ax, loc="upper right")
    return canvas


def attacks(by_attack: Mapping[str, Scores], figures: Mapping[str, Mapping[str, Any]], *, threshold: float) -> Figure:
    """Each attack's scores beside its EER and interval, the hardest attack on top, below the bonafide clips.

    Parameters
    ----------
    by_attack : mapping of str to Scores
        As `training.summary.scores_by_attack` gives them.
    figures : mapping of str to mapping
        `attacks` of `training.summary.summarise`.
    """
    names = sorted(by_attack, key=lambda name: figures[name]["eer_percent"])
    canvas, (left, right) = figure(2, height_inches=1.3 + 0.3 * len(names), sharey=True, width_ratios=(2, 1))
    rows = [by_attack[name].spoof for name in names] + [by_attack[names[0]].bonafide]
    boxes = left.boxplot(
        rows, orientation="horizontal", whis=WHISKERS, showfliers=False, patch_artist=True, widths=0.62
    )
    colours = [COLOURS["spoof"]] * len(names) + [COLOURS["bonafide"]]
    for box, median, colour in zip(boxes["boxes"], boxes["medians"], colours, strict=True):
        box.set(facecolor=colour, alpha=0.55, edgecolor=colour)
        median.set(color=INK, linewidth=1.4)
    for line in (*boxes["whiskers"], *boxes["caps"]):
        line.set(color=MUTED)
    left.axvline(threshold, color=INK, linewidth=1.2, linestyle="--")
    left.annotate(
        "threshold", (threshold, 1.01), xycoords=("data", "axes fraction"), color=INK, fontsize=9, ha="center"
    )
    left.set_yticks(range(1, len(rows) + 1), [*names, "bonafide"])
    label(left, x="score (higher speaks for bonafide)", title="Scores")

    eers = np.array([figures[name]["eer_percent"] for name in names]) / 100
    low, high = np.array([figures[name]["eer_interval_percent"] for name in names]).T / 100
    places = np.arange(1, len(names) + 1)
    right.hlines(places, low, high, color=COLOURS["spoof"], linewidth=2)
    right.plot(eers, places, "o", color=COLOURS["spoof"], markersize=5)
    right.set_xlim(left=-0.02 * high.max(), right=1.05 * high.max())
    percent_axes(right, "x")
    label(right, x="EER, with 95 % interval", title="How often it deceives")
    return canvas


def confusion(matrices: Mapping[str, Sequence[Sequence[int]]]) -> Figure:
    """Confusion matrices side by side, by title: rows are the truth, and shading is the share of a row.

    Parameters
    ----------
    matrices : mapping of str to shape (2, 2)
        Clips by truth and verdict, bonafide first.
    """
    canvas, axes = figure(len(matrices), width_inches=4 * len(matrices), height_inches=3.2)
    shades = LinearSegmentedColormap.from_list("shades", ["white", INK])
    for ax, (title, matrix) in zip(axes, matrices.items(), strict=True):
        counts = np.asarray(matrix)
        shares = counts / counts.sum(axis=1, keepdims=True)
        ax.imshow(shares, cmap=shades, vmin=0, vmax=1.35)
        for (row, column), count in np.ndenumerate(counts):
            ink = "white" if shares[row, column] > 0.6 else INK
            ax.text(column, row - 0.08, f"{count:,}", color=ink, ha="center", va="center", fontsize=13)
            share = f"{100 * shares[row, column]:.1f} %"
            ax.text(column, row + 0.2, share, color=ink, ha="center", va="center", fontsize=9)
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_xticks(range(len(CLASSES)), CLASSES)
        ax.set_yticks(range(len(CLASSES)), CLASSES, rotation=90, va="center")
        label(ax, x="verdict", y="truth", title=title)
    return canvas


def _draw_curve(
    ax: Axes,
    scores: Scores,
    threshold: float,
    *,
    place: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
) -> None:
    """Draw the curve, its EER point and the operating point; `place` maps both error rates to x and y."""
    curve = detection_curve(scores)
    ax.plot(*place(curve.false_accept_rate, curve.false_reject_rate), color=INK, linewidth=1.6)
    eer = equal_error_rate(scores)
    at_eer, chosen = (error_rates(scores, threshold=value) for value in (eer.threshold, threshold))
    for rates, name, marker, face in (
        (at_eer, f"EER {100 * eer.rate:.2f} %", "o", "white"),
        (chosen, "operating point", "D", INK),
    ):
        x, y = place(np.array([rates.false_accept_rate]), np.array([rates.false_reject_rate]))
        ax.plot(
            x,
            y,
            marker,
            markersize=7,
            color=INK,
            markerfacecolor=face,
            markeredgewidth=1.5,
            label=name,
            zorder=3,
        )
