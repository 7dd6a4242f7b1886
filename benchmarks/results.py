"""What a run found, and how that stands to the goals."""

from dataclasses import dataclass
from typing import Any

from benchmarks import stats
from benchmarks.cost import Costs
from benchmarks.rounds import Case, Loads
from benchmarks.servers import Memory

_BASELINE = "obvious"


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process started."""

    ready_seconds: float
    first_answer_seconds: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise, and what was measured."""

    what: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Results:
    """A run."""

    machine: dict[str, str]
    model: str
    logit_difference: float
    starts: dict[str, list[Start]]
    loads: dict[Case, dict[str, Loads]]
    memory: dict[str, Memory]
    batch_clips_per_second: list[float]
    costs: Costs

    def goals(self) -> list[Goal]:
        """The goals. Throughput counts only if nothing of ours failed."""
        case = next(case for case in self.loads if case.connections == 8 and len(case.servers) > 1)
        ratio = self.ratio(case, "ours")
        errors = sum(loads["ours"].errors for loads in self.loads.values())
        ready = stats.spread([start.ready_seconds for start in self.starts["ours"]])
        memory = self.memory["ours"].rss_mb
        return [
            Goal("throughput at 8 clients, ours / obvious", "≥ 10", f"{ratio:.2f}", ratio.median >= 10),
            Goal("requests that failed", "0", str(errors), errors == 0),
            Goal("start to ready", "< 15 s", f"{ready:.1f} s", ready.median < 15),
            Goal("resident after load", "< 800 MB", f"{memory:.0f} MB", memory < 800),
        ]

    def ratio(self, case: Case, name: str) -> stats.Spread:
        """A server's throughput to the obvious one's, over the pairs of a case's rounds."""
        loads = self.loads[case]
        return stats.spread(stats.ratios(loads[name].throughput, loads[_BASELINE].throughput))

    def as_json(self) -> dict[str, Any]:
        """Everything but the single latencies, for results.json."""
        return {
            "machine": self.machine,
            "model": self.model,
            "greatest_logit_difference": self.logit_difference,
            "goals": [_plain(goal) for goal in self.goals()],
            "starts": {name: [_plain(start) for start in starts] for name, starts in self.starts.items()},
            "loads": [
                {**_plain(case), "server": name, **_load_json(loads)}
                for case, by_server in self.loads.items()
                for name, loads in by_server.items()
            ],
            "memory": {name: _plain(memory) for name, memory in self.memory.items()},
            "batch_clips_per_second": self.batch_clips_per_second,
            "model_clips_per_second": self.costs.model_clips_per_second,
            "lengths": [_plain(length) for length in self.costs.lengths],
        }


def _load_json(loads: Loads) -> dict[str, Any]:
    return {
        "requests": len(loads.latencies),
        "errors": loads.errors,
        "p50_ms": stats.percentile_ms(loads.latencies, 50),
        "p99_ms": stats.percentile_ms(loads.latencies, 99),
        "throughput": loads.throughput,
        "server_cpu_ms": loads.server_cpu_ms,
        "client_cpu_ms": loads.client_cpu_ms,
        "others_share": loads.others_share,
    }


def _plain(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__ if name != "servers"}
