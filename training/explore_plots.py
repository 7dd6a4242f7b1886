"""The figures of an exploration, each a function of data that returns a Figure."""

from collections.abc import Mapping, Sequence

import librosa
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.cm import magma
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.corpus import KEYS, Key
from training.features import Feature
from training.plots import COLOURS, INK, MUTED, figure, label, legend, percent_axes
from training.shortcuts import LIMIT, Separation
from training.trials import FloatArray

# Slate, where a model learns; else from Okabe & Ito again, without the two colours of the classes.
PARTITION_COLOURS = {"train": "#3B4754", "dev": "#009E73", "eval": "#CC79A7"}
MARKERS = {"train": "o", "dev": "D", "eval": "^"}
BINS = (12, 48)  # fewest and most
TAILS = (0.005, 0.995)  # what lies beyond is counted in the outermost bins
MEL_TICKS = (0, 500, 1000, 2000, 4000, 8000)  # Hz
QUIETEST_DB = -70.0  # of a mel spectrogram, below its loudest point
HEAT = LinearSegmentedColormap.from_list("heat", ["white", *magma(np.linspace(0.9, 0.0, 8))])


def shortcut_chart(rows: Mapping[str, Mapping[str, Separation]]) -> Figure:
    """The EER of each feature alone in each partition, with its 95 % interval, in the order given.

    Parameters
    ----------
    rows : mapping of str to mapping of str to Separation
        By title, then by partition.
    """
    canvas, (ax,) = figure(width_inches=6.4, height_inches=1.1 + 0.34 * len(rows))
    partitions = list(dict.fromkeys(partition for row in rows.values() for partition in row))
    ax.axvspan(0, LIMIT, color=COLOURS["spoof"], alpha=0.08, linewidth=0)
    ax.axvline(0.5, color=INK, linewidth=1)
    for place, partition in enumerate(partitions):
        ys = [y for y, row in enumerate(rows.values()) if partition in row]
        found = [row[partition] for row in rows.values() if partition in row]
        eers = np.array([separation.eer for separation in found])
        low, high = np.array([separation.interval for separation in found]).T
        ax.errorbar(
            eers,
            np.array(ys) + 0.22 * (place - (len(partitions) - 1) / 2),
            xerr=np.maximum([eers - low, high - eers], 0),  # an EER may lie outside its own percentiles
            fmt=MARKERS[partition],
            color=PARTITION_COLOURS[partition],
            markersize=5,
            elinewidth=1.4,
            label=partition,
        )
    ends = np.array([separation.interval for row in rows.values() for separation in row.values()])
    ax.set_xlim(max(0.0, min(ends.min(), LIMIT) - 0.03), max(ends.max(), 0.55) + 0.01)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), list(rows))
    for tick, row in zip(ax.get_yticklabels(), rows.values(), strict=True):
        if any(separation.shortcut for separation in row.values()):
            tick.set(color=COLOURS["spoof"], fontweight="bold")
    ax.grid(visible=False, axis="y")
    percent_axes(ax, "x")
    label(ax, x="EER of the feature alone")
    legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(partitions), fontsize=9)
    return canvas


def mirrored(clips: pd.DataFrame, feature: Feature, *, partitions: Sequence[str]) -> Figure:
    """How a feature is distributed in each partition: bonafide upwards, spoof downwards, each with an area of 1."""
    canvas, (ax,) = figure(width_inches=4.4, height_inches=0.9 + 0.75 * len(partitions))
    smallest = int(clips.groupby(["partition", "key"])[feature.name].count().min())
    bins = int(np.clip(2 * np.sqrt(smallest), *BINS))
    values, edges, names = _binned(clips[feature.name], feature, bins=bins)
    for row, partition in enumerate(partitions):
        heights: dict[Key, FloatArray] = {}
        for key in KEYS:
            of_class = values[(clips["partition"].eq(partition) & clips["key"].eq(key)).to_numpy()]
            heights[key] = np.histogram(of_class[np.isfinite(of_class)], edges)[0] / max(of_class.size, 1)
        tallest = max(float(height.max()) for height in heights.values()) or 1.0
        for key, direction in zip(KEYS, (1, -1), strict=True):
            ax.stairs(
                -row + direction * 0.44 * heights[key] / tallest,
                edges,
                baseline=-row,
                fill=True,
                color=COLOURS[key],
                label=key if row == 0 else None,
            )
        ax.axhline(-row, color=MUTED, linewidth=0.6)
    ax.set_ylim(-len(partitions) + 0.5, 0.5)
    ax.set_yticks([-row for row in range(len(partitions))], list(partitions))
    ax.grid(visible=False, axis="y")
    if names:
        ax.set_xticks(range(len(names)), names)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6))
        if feature.unit == "share":
            percent_axes(ax, "x")
        else:
            ax.ticklabel_format(axis="x", scilimits=(-3, 6))
    unit = {"share": "", "": ""}.get(feature.unit, f" ({feature.unit})")
    label(ax, x=feature.title + unit)
    legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return canvas


def attack_bars(attacks: Mapping[str, Mapping[str, int]]) -> Figure:
    """Clips of each attack, stacked by partition."""
    canvas, (ax,) = figure(height_inches=3.0)
    base = np.zeros(len(attacks))
    for partition, colour in PARTITION_COLOURS.items():
        heights = np.array([counts.get(partition, 0) for counts in attacks.values()])
        if heights.any():
            ax.bar(list(attacks), heights, bottom=base, color=colour, label=partition)
        base += heights
    ax.grid(visible=False, axis="x")
    ax.tick_params(axis="x", rotation=90 if len(attacks) > 20 else 0, labelsize=8)
    ax.margins(x=0.01)
    label(ax, x="attack", y="clips")
    legend(ax)
    return canvas


def example(waveform: npt.NDArray[np.float32], *, sample_rate: int, key: Key) -> Figure:
    """Waveform over mel spectrogram on one time axis.

    The frequency axis is the same for clips of every rate: what a clip cannot hold stays empty.

    Parameters
    ----------
    waveform : float32 (n,)
    sample_rate : int
        Hz.
    key : str
        Colours the waveform.
    """
    canvas = Figure(figsize=(3.6, 2.9), layout="constrained", facecolor="white")
    above, below = canvas.subplots(2, 1, sharex=True, height_ratios=[1, 2])
    librosa.display.waveshow(waveform, sr=sample_rate, ax=above, color=COLOURS[key], linewidth=0.4)
    mel = librosa.feature.melspectrogram(
        y=waveform,
        sr=sample_rate,
        n_fft=round(0.032 * sample_rate),
        hop_length=round(0.008 * sample_rate),
        n_mels=64,
    )
    librosa.display.specshow(
        librosa.power_to_db(mel, ref=np.max),
        sr=sample_rate,
        n_fft=round(0.032 * sample_rate),
        hop_length=round(0.008 * sample_rate),
        x_axis="time",
        y_axis="mel",
        cmap=HEAT,
        vmin=QUIETEST_DB,
        vmax=0,
        ax=below,
    )
    below.set_ylim(0, MEL_TICKS[-1])
    below.set_yticks(MEL_TICKS, [f"{hz:,}" for hz in MEL_TICKS])
    below.set_yticks([], minor=True)
    largest = max(float(np.abs(waveform).max()), 1e-4)
    above.set_ylim(-largest, largest)
    above.set_yticks([-largest, 0, largest], [f"\N{MINUS SIGN}{largest:.1g}", "0", f"{largest:.1g}"])
    for ax in (above, below):
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(MUTED)
        ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
        ax.set(xlabel="", ylabel="")
    above.tick_params(labelbottom=False)
    below.set_ylabel("Hz", fontsize=8, color=INK)
    below.set_xlabel("seconds", fontsize=8, color=INK)
    below.set_xlim(0, waveform.size / sample_rate)
    return canvas


def _binned(column: "pd.Series[float]", feature: Feature, *, bins: int) -> tuple[FloatArray, FloatArray, list[str]]:
    """Values brought into the bins' range, the bins' edges, and the names of categories, if it has such."""
    if feature.categorical:
        categories = column.astype("category")
        names = [f"{name:,.0f}" if isinstance(name, float) else str(name) for name in categories.cat.categories]
        edges = (np.arange(len(names))[:, np.newaxis] + [-0.4, 0.4]).ravel()  # with gaps between the bars
        return np.asarray(categories.cat.codes, np.float64), edges, names
    values = column.to_numpy(np.float64)
    low, high = np.nanquantile(values, TAILS)
    if low == high:
        low, high = np.nanmin(values), np.nanmax(values)
    return np.clip(values, low, high), np.linspace(low, high, bins + 1), []
