"""Results -> results.json and results.md."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import learning, plots, stats
from benchmarks.floor import FRONT_END, Floor
from benchmarks.results import BASELINE, Results
from benchmarks.rounds import Batch
from benchmarks.tables import table

_LINEAR_FROM_SECONDS = 10.0  # below, what a call costs however short the clip is hides the growth
_QUIET_SHARE = 0.1


def write(results: Results, folder: Path) -> None:
    """Write all of it into a folder."""
    text = json.dumps(results.as_json(), indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "results.md").write_text("\n".join(markdown(results)) + "\n", encoding="utf-8")
    plots.throughput(results, folder / "throughput.png")
    plots.lengths(results, folder / "lengths.png")


def markdown(results: Results) -> Iterator[str]:
    """The report, line by line. Where a figure has a range, it is a median and the lowest and highest round."""
    yield "# What serving costs"
    yield ""
    if results.failed:
        yield f"**Not measured, since it failed: {', '.join(results.failed)}.**"
        yield ""
    yield from table(
        ("goal", "wanted", "measured", ""),
        ((goal.what, goal.wanted, goal.measured, "met" if goal.met else "**missed**") for goal in results.goals()),
    )
    yield (
        "The obvious service is FastAPI with `librosa.load` and `model.predict` on the same artifact "
        "(`benchmarks/obvious.py`); *on_batch* is the same with `predict_on_batch`. LitServe (a worker a core, as its "
        "documentation advises) and Mosec, which takes raw bodies, also decode with librosa, and call "
        "`predict_on_batch` on what waits (`benchmarks/lit_service.py`, `mosec_service.py`). The logits of all "
        f"servers differ by {results.logit_difference:.1g} at most. Clips last 4 s. All servers are up "
        "and loaded in turn, round after round, while the others are stopped; figures are medians, with the lowest and "
        "highest round in brackets. CPU time and memory are of all of a server's processes. Ours runs with the "
        "packages that it ships with, and not with training's (`benchmarks/as_shipped.py`)."
    )
    yield ""
    yield "## Load"
    yield ""
    yield from table(
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
    yield from table(
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
    yield from table(
        ("server", "RSS, MB", "PSS, MB"),
        ((name, f"{memory.rss_mb:.0f}", f"{memory.pss_mb:.0f}") for name, memory in results.memory.items()),
    )
    if results.floor is not None:
        yield from _model_alone(results.floor)
    yield from _added(results)
    yield from _batches_and_lengths(results)
    if results.learning is not None:
        yield from learning.markdown(results.learning)
    yield "## Machine"
    yield ""
    yield from table(("", ""), ({"model": results.model} | results.machine).items())


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
            compared = BASELINE in by_server and name != BASELINE
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


def _model_alone(floor: Floor) -> Iterator[str]:
    yield "## The model alone, on one core"
    yield ""
    yield (
        f"A window takes {floor.window_mflop:.0f} MFLOP in convolutions and products of matrices, as counted in the "
        f"graph, {floor.front_end_mflop:.0f} of them in the front end; TensorFlow's own transform takes fewer there. A "
        f"product of large float32 matrices came to {stats.spread(floor.peak_gflops):.0f} GFLOP/s on the same core in "
        "the same rounds: at that rate they would take the floor's time."
    )
    yield ""
    sizes = sorted({timed.windows for timed in floor.timed})
    yield from table(
        ("what", "windows in a call", "CPU ms a window", "speed of the floor's, %"),
        (
            (
                timed.what,
                str(timed.windows),
                f"{stats.spread([1e3 * seconds / size for seconds in timed.seconds]):.2f}",
                "" if timed.what == FRONT_END else f"{100 * floor.share(timed.what, size).median:.0f}",
            )
            for size in sizes
            for timed in floor.timed
            if timed.windows == size
        ),
    )


def _added(results: Results) -> Iterator[str]:
    rows = [
        (results.clip_names[clip], str(windows), f"{100 * share.median:.0f} %")
        for clip, windows in results.clip_windows.items()
        if (share := results.added_share(clip)) is not None
    ]
    if rows:
        yield (
            "What a request takes beyond the network, of the network's own CPU time (raw body, 8 clients, ONNX "
            "Runtime): HTTP, decode, resampling, the measure of speech and the front end."
        )
        yield ""
        yield from table(("clip", "windows", "added"), rows)


def _of_model(results: Results, batch: Batch) -> str:
    """A batch's rate as a share of the model's own, in per cent."""
    costs = results.costs.get(batch.server)
    return f"{100 * stats.spread(batch.rates).median / costs.model_clips_per_second:.0f}" if costs else ""


def _batches_and_lengths(results: Results) -> Iterator[str]:
    yield "## Batches, and clips of growing length"
    yield ""
    yield from table(
        ("server", "clip", "clips in a batch", "clips/s", "of the model's own rate, %", "RSS afterwards, MB"),
        (
            (
                batch.server,
                batch.clip,
                str(batch.clips),
                f"{stats.spread(batch.rates):.0f}",
                _of_model(results, batch),
                f"{batch.rss_mb:.0f}",
            )
            for batch in results.batches
        ),
    )
    for name, costs in results.costs.items():
        yield (
            f"*{name}*: the model alone scores {costs.model_clips_per_second:.0f} clips/s, decoded and prepared, "
            "several to a call. Clips of growing length, one at a time, without HTTP:"
        )
        yield ""
        yield from table(
            ("clip, s", "decode, ms", "score, ms", "of its length, %", "peak memory, MB more"),
            (
                (
                    f"{length.clip_seconds:g}",
                    f"{1e3 * length.decode_seconds:.2f}",
                    f"{1e3 * length.score_seconds:.1f}",
                    f"{100 * (length.decode_seconds + length.score_seconds) / length.clip_seconds:.2f}",
                    f"{length.peak_mb:.0f}",
                )
                for length in costs.lengths
            ),
        )
        long = [length for length in costs.lengths if length.clip_seconds >= _LINEAR_FROM_SECONDS]
        if len(long) > 1:
            exponent = stats.growth(
                [length.clip_seconds for length in long],
                [length.decode_seconds + length.score_seconds for length in long],
            )
            from_seconds = f"From {_LINEAR_FROM_SECONDS:g} s on"
            yield f"{from_seconds}, time grows with length to the power of {exponent:.2f}; 1 is linear."
            yield ""
