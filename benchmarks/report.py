"""Results -> results.json, results.md and two plots."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks import stats
from benchmarks.cost import Length
from benchmarks.results import Results

mpl.use("Agg")
from matplotlib import pyplot as plt

_LINEAR_FROM_SECONDS = 10.0  # below, what a call costs however short the clip is hides the growth
_QUIET_SHARE = 0.1
_COLOURS = {"ours": "#1b6ca8", "obvious": "#c0504d", "obvious, on_batch": "#d9a441"}


def write(results: Results, folder: Path) -> None:
    """Write all of it into a folder."""
    text = json.dumps(results.as_json(), indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "results.md").write_text("\n".join(markdown(results)) + "\n", encoding="utf-8")
    _plot_throughput(results, folder / "throughput.png")
    _plot_lengths(results.costs.lengths, folder / "lengths.png")


def markdown(results: Results) -> Iterator[str]:
    """The report, line by line. Where a figure has a range, it is a median and the lowest and highest round."""
    yield "# What serving costs"
    yield ""
    yield from _table(
        ("goal", "wanted", "measured", ""),
        ((goal.what, goal.wanted, goal.measured, "met" if goal.met else "**missed**") for goal in results.goals()),
    )
    yield (
        "The obvious service is FastAPI with `librosa.load`, librosa's mel spectrogram and `model.predict` on the same "
        f"weights (`benchmarks/obvious.py`); the two servers' logits differ by {results.logit_difference:.1g} at most. "
        "*on_batch* is the same with `predict_on_batch`. Clips last 4 s. All servers are up all the time and loaded in "
        "turn, round after round; figures are medians, with the lowest and highest round in brackets. Ours runs with "
        "the packages that it ships with, and not with training's (`benchmarks/as_shipped.py`)."
    )
    yield ""
    yield "## Load"
    yield ""
    yield from _table(
        ("clip", "clients", "server", "requests/s", "÷ obvious", "p50 ms", "p99 ms", "server CPU ms/request", "errors"),
        _load_rows(results),
    )
    all_loads = [loads for by_server in results.loads.values() for loads in by_server.values()]
    client_ms = [ms for loads in all_loads for ms in loads.client_cpu_ms]
    yield (
        f"The client ran on the same cores, in a process of its own, for {stats.spread(client_ms):.2f} ms of CPU time "
        f"a request. {_disturbance([share for loads in all_loads for share in loads.others_share])}"
    )
    yield ""
    yield "## Start and memory"
    yield ""
    yield from _table(
        ("server", "start to ready, s", "start to first answer, s"),
        (
            (
                name,
                f"{stats.spread([start.ready_seconds for start in starts]):.1f}",
                f"{stats.spread([start.first_answer_seconds for start in starts]):.1f}",
            )
            for name, starts in results.starts.items()
        ),
    )
    yield from _table(
        ("server", "RSS, MB", "PSS, MB"),
        ((name, f"{memory.rss_mb:.0f}", f"{memory.pss_mb:.0f}") for name, memory in results.memory.items()),
    )
    yield from _batch_and_lengths(results)
    yield "## Machine"
    yield ""
    yield from _table(("", ""), ({"model": results.model} | results.machine).items())


def _disturbance(shares: Sequence[float]) -> str:
    """How much of the machine others took, and what that does to the figures."""
    share = float(np.median(shares))
    taken = f"Other processes took {100 * share:.0f} % of the machine's CPU time during the median load."
    if share < _QUIET_SHARE:
        return taken
    return f"{taken} **That is not a quiet machine**: ours loses more by it, since it uses every core."


def _load_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for case, by_server in results.loads.items():
        for name, loads in by_server.items():
            compared = "obvious" in by_server and name != "obvious"
            yield (
                f"{case.clip}{', raw body' * case.raw}",
                str(case.connections),
                name,
                f"{stats.spread(loads.throughput):.1f}",
                f"{results.ratio(case, name):.1f}" if compared else "",
                f"{stats.percentile_ms(loads.latencies, 50):.1f}",
                f"{stats.percentile_ms(loads.latencies, 99):.1f}",
                f"{stats.spread(loads.server_cpu_ms):.1f}",
                str(loads.errors),
            )


def _batch_and_lengths(results: Results) -> Iterator[str]:
    batch, alone = stats.spread(results.batch_clips_per_second), results.costs.model_clips_per_second
    yield "## Batches, and clips of growing length"
    yield ""
    yield (
        f"`/batch` of 100 clips: {batch:.0f} clips/s, {100 * batch.median / alone:.0f} % of the {alone:.0f} clips/s "
        "that the model does alone, on clips that are decoded already."
    )
    yield ""
    yield from _table(
        ("clip, s", "decode, ms", "score, ms", "of its length, %", "peak memory, MB more"),
        (
            (
                f"{length.clip_seconds:g}",
                f"{1e3 * length.decode_seconds:.2f}",
                f"{1e3 * length.score_seconds:.1f}",
                f"{100 * (length.decode_seconds + length.score_seconds) / length.clip_seconds:.2f}",
                f"{length.peak_mb:.0f}",
            )
            for length in results.costs.lengths
        ),
    )
    long = [length for length in results.costs.lengths if length.clip_seconds >= _LINEAR_FROM_SECONDS]
    if len(long) > 1:
        exponent = stats.growth(
            [length.clip_seconds for length in long], [length.decode_seconds + length.score_seconds for length in long]
        )
        yield f"From {_LINEAR_FROM_SECONDS:g} s on, time grows with length to the power of {exponent:.2f}; 1 is linear."
        yield ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _plot_throughput(results: Results, path: Path) -> None:
    cases = [case for case in results.loads if "obvious" in case.servers]
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


def _plot_lengths(lengths: Sequence[Length], path: Path) -> None:
    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    seconds = np.array([length.clip_seconds for length in lengths])
    cost = np.array([length.decode_seconds + length.score_seconds for length in lengths])
    time_axes.loglog(seconds, cost, "o-", color=_COLOURS["ours"], label="decode and score")
    time_axes.loglog(seconds, cost[-1] * seconds / seconds[-1], ":", color="grey", label="proportional to length")
    time_axes.set(xlabel="clip, seconds", ylabel="seconds")
    time_axes.legend()
    memory_axes.plot(seconds, [length.peak_mb for length in lengths], "o-", color=_COLOURS["ours"])
    memory_axes.set(xlabel="clip, seconds", ylabel="peak memory beyond the idle process, MB")
    figure.savefig(path, dpi=120)
    plt.close(figure)
