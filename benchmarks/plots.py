"""Two plots of what a run found: throughput, and clips of growing length."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks import stats
from benchmarks.results import BASELINE, Results

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = {
    "ours": "#1b6ca8",
    "ours, onnx": "#5aa9e6",
    "obvious": "#c0504d",
    "obvious, on_batch": "#d9a441",
    "LitServe": "#7a5195",
    "Mosec": "#6a8f4e",
}


def throughput(results: Results, path: Path) -> None:
    """Requests a second of each server in each case, logarithmic."""
    cases = [case for case in results.loads if BASELINE in case.servers]
    figure, axes = plt.subplots(figsize=(1.6 + 1.5 * len(cases), 4), layout="constrained")
    for place, case in enumerate(cases):
        width = 0.8 / len(case.servers)
        for number, name in enumerate(case.servers):
            found = stats.spread(results.loads[case][name].throughput)
            errors = [[found.median - found.lowest], [found.highest - found.median]]
            axes.bar(
                place + (number + 0.5) * width - 0.4,
                found.median,
                width,
                yerr=errors,
                capsize=3,
                color=_COLOURS[name],
                label=name,
            )
    axes.set_yscale("log")
    axes.set_ylabel("requests per second")
    axes.set_xticks(range(len(cases)), [str(case).replace(", ", "\n", 1) for case in cases])
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=len(unique))
    axes.set_title(f"Throughput, 4 s clips, {results.model}: medians, bars from lowest to highest round")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def lengths(results: Results, path: Path) -> None:
    """Time and memory against a clip's length."""
    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for name, costs in results.costs.items():
        seconds = np.array([length.clip_seconds for length in costs.lengths])
        cost = np.array([length.decode_seconds + length.score_seconds for length in costs.lengths])
        time_axes.loglog(seconds, cost, "o-", color=_COLOURS[name], label=f"{name}: decode and score")
        time_axes.loglog(seconds, cost[-1] * seconds / seconds[-1], ":", color="grey")
        memory_axes.plot(seconds, [length.peak_mb for length in costs.lengths], "o-", color=_COLOURS[name], label=name)
    time_axes.set(xlabel="clip, seconds", ylabel="seconds; dotted: proportional to length")
    if results.costs:
        time_axes.legend()
    memory_axes.set(xlabel="clip, seconds", ylabel="peak memory beyond the idle process, MB")
    figure.savefig(path, dpi=120)
    plt.close(figure)
