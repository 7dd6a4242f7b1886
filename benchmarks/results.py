"""What a run found."""

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import stats
from benchmarks.cost import Costs
from benchmarks.floor import Floor
from benchmarks.goals import Goal, goals
from benchmarks.learning import Learning
from benchmarks.rounds import Batch, Case, Loads
from benchmarks.servers import Memory

BASELINE = "obvious"
_NETWORK_WINDOWS = 8  # of the calls that the network's own time is taken from


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process started."""

    ready_seconds: float
    first_answer_seconds: float


@dataclass(frozen=True, slots=True)
class Results:
    """A run."""

    machine: dict[str, str]
    model: str
    logit_difference: float
    clip_windows: dict[str, int]  # how many windows the model hears of each clip
    clip_names: dict[str, str]
    starts: dict[str, list[Start]]
    loads: dict[Case, dict[str, Loads]]
    memory: dict[str, Memory]
    batches: list[Batch]
    costs: dict[str, Costs]  # by our servers
    floor: Floor | None = field(default=None)  # where the artifact has a graph to count
    learning: Learning | None = field(default=None)
    failed: list[str] = field(default_factory=list)  # what is missing, and why

    def goals(self) -> list[Goal]:
        """The goals, met or missed."""
        return list(goals(self))

    def case(self, clip: str, connections: int, *, raw: bool = False) -> Case | None:
        """The case of a clip and so many clients, if it was measured."""
        wanted = (clip, connections, raw)
        return next((case for case in self.loads if (case.clip, case.connections, case.raw) == wanted), None)

    def ratio(self, case: Case, name: str, other: str = BASELINE) -> stats.Spread:
        """A server's throughput to another's, over the pairs of a case's rounds."""
        loads = self.loads[case]
        return stats.spread(stats.ratios(loads[name].throughput, loads[other].throughput))

    def added_share(self, clip: str, *, name: str = "ours, onnx") -> stats.Spread | None:
        """What a raw request at 8 clients takes beyond the network's own CPU time, relative to that; by round.

        The network is the graph after its front end, in calls on one core; everything else is added: HTTP, decode,
        resampling, the measure of speech and the front end.
        """
        case = self.case(clip, 8, raw=True)
        if self.floor is None or case is None or name not in self.loads[case]:
            return None
        network_ms = self.floor.network_ms(_NETWORK_WINDOWS) * self.clip_windows[clip]
        return stats.spread([ms / network_ms - 1 for ms in self.loads[case][name].server_cpu_ms])

    def as_json(self) -> dict[str, Any]:
        """Everything but the single latencies, for results.json."""
        return {
            "machine": self.machine,
            "model": self.model,
            "greatest_logit_difference": self.logit_difference,
            "clip_windows": self.clip_windows,
            "goals": [_plain(goal) for goal in self.goals()],
            "starts": {name: [_plain(start) for start in starts] for name, starts in self.starts.items()},
            "loads": [
                {**_plain(case), "server": name, **_load_json(loads)}
                for case, by_server in self.loads.items()
                for name, loads in by_server.items()
            ],
            "memory": {name: _plain(memory) for name, memory in self.memory.items()},
            "batches": [_plain(batch) for batch in self.batches],
            "costs": {
                name: {
                    "model_clips_per_second": costs.model_clips_per_second,
                    "lengths": [_plain(length) for length in costs.lengths],
                }
                for name, costs in self.costs.items()
            },
            "floor": self.floor and _plain(self.floor) | {"timed": [_plain(timed) for timed in self.floor.timed]},
            "learning": self.learning and asdict(self.learning),
            "failed": self.failed,
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
