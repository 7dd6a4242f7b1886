"""What serving is to cost at most, and what a run found of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import stats

if TYPE_CHECKING:
    from benchmarks.results import Results

_RUNTIMES = {"ours": "keras", "ours, onnx": "onnx"}  # server -> what runs its model
_FLOOR_SHARES = {"ours": 0.6, "ours, onnx": 0.7}
_READY_SECONDS = {"ours": 6.0, "ours, onnx": 1.5}
_RESIDENT_MIB = {"ours": 700.0, "ours, onnx": 250.0}
_CALL_WINDOWS = 8  # of the calls that are held against the floor: the detector's own
_MIB = 2**20 / 1e6


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise, and what was measured."""

    what: str
    wanted: str
    measured: str
    met: bool


def goals(results: "Results") -> Iterator[Goal]:
    """The goals of which the run measured something, of each of our servers."""
    errors = sum(loads[name].errors for loads in results.loads.values() for name in _RUNTIMES if name in loads)
    yield Goal("requests of ours that failed", "0", str(errors), errors == 0)
    for name in results.starts:
        if name in _RUNTIMES:
            yield from _of_server(results, name)
    for steps in results.learning.steps if results.learning else []:
        ratio = steps.ratio()
        what = f"training, {steps.recipe}: steps a second, of those on batches in memory"
        yield Goal(what, "≥ 90 %", _percent(ratio), ratio.median >= 0.9)


def _of_server(results: "Results", name: str) -> Iterator[Goal]:
    yield from _against_others(results, name)
    floor, costs = results.floor, results.costs.get(name)
    if floor is not None:
        share = floor.share(_RUNTIMES[name], _CALL_WINDOWS)
        wanted = _FLOOR_SHARES[name]
        what = f"{name}: speed of the model's call, of float32's floor"
        yield Goal(what, f"≥ {100 * wanted:g} %", f"{_percent(share)}", share.median >= wanted)
    for batch in results.batches if costs else []:
        if (batch.server, batch.clip, batch.clips) == (name, results.clip_names["pcm16"], 100):
            rate = stats.spread([rate / costs.model_clips_per_second for rate in batch.rates])
            yield Goal(
                f"{name}: `/batch` of 100, of the model's own rate", "≥ 90 %", _percent(rate), rate.median >= 0.9
            )
    added = results.added_share("pcm16")
    if name == "ours, onnx" and added is not None:
        what = f"{name}: HTTP, decode, resampling and front end, of the network's time"
        yield Goal(what, "≤ 40 %", _percent(added), added.median <= 0.4)
    ready, most = stats.spread([start.ready_seconds for start in results.starts[name]]), _READY_SECONDS[name]
    yield Goal(f"{name}: start to ready", f"≤ {most:g} s", f"{ready:.1f} s", ready.median <= most)
    resident, limit = results.memory[name].rss_mb / _MIB, _RESIDENT_MIB[name]
    yield Goal(f"{name}: resident after load", f"≤ {limit:g} MiB", f"{resident:.0f} MiB", resident <= limit)
    if costs is None:
        return
    longest = max(costs.lengths, key=lambda length: length.clip_seconds)
    what = f"{name}: memory that a clip of {longest.clip_seconds:g} s takes"
    yield Goal(what, "< 150 MB", f"{longest.peak_mb:.0f} MB", longest.peak_mb < 150)


def _against_others(results: "Results", name: str) -> Iterator[Goal]:
    """Ratios of throughput, and of CPU time, to other servers."""
    for other, clients, least in (("obvious", 8, 20.0), ("LitServe", 1, 1.0), ("LitServe", 8, 1.0)):
        case = results.case("pcm16", clients)
        if case is not None and {name, other} <= set(case.servers):
            ratio = results.ratio(case, name, other)
            what = f"{name}: throughput, {clients} client{'s' * (clients > 1)}, ÷ {other}"
            yield Goal(what, f"≥ {least:g}", f"{ratio:.2f}", ratio.median >= least)
    case, other = results.case("pcm16", 8), "obvious, on_batch"
    if case is not None and {name, other} <= set(case.servers):
        loads = results.loads[case]
        ratio = stats.spread(stats.ratios(loads[other].server_cpu_ms, loads[name].server_cpu_ms))
        yield Goal(f"{name}: CPU a request, {other} ÷ ours", "≥ 1.5", f"{ratio:.2f}", ratio.median >= 1.5)


def _percent(share: stats.Spread) -> str:
    return f"{stats.Spread(*(100 * value for value in (share.median, share.lowest, share.highest))):.0f} %"
