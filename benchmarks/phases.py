"""The two ways to load our service, each with the CPU time that it took and with a prober beside it.

The event loop alone refuses: what it takes beyond its part in the answers, as a closed loop found it, is the refusals'.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks import clients
from benchmarks.arrivals import Arrivals
from benchmarks.load import Outcome
from benchmarks.prober import Prober
from benchmarks.servers import Server

_CONNECTIONS = 48  # of the closed loop: as in an overload, so many wait that the event loop decodes nothing itself


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closed loop gets."""

    answered: float  # requests a second
    answer_ms: float  # CPU time of an answer
    loop_ms: float  # of it, the event loop's


@dataclass(frozen=True, slots=True)
class Open:
    """What requests get that do not wait for answers."""

    arrivals: Arrivals
    prober: Prober
    cpu_seconds: float  # CPU time of the service
    loop_seconds: float  # of it, the event loop's

    @property
    def answered(self) -> float:
        """Requests answered with 200, a second, while others came."""
        return self.arrivals.answered_in_time / self.arrivals.elapsed_seconds

    def answers_share(self, answer_ms: float) -> float:
        """Share of the CPU time that went into answers, where one takes so much: what is kept, if time is all it takes.

        Where others use the cores too, this tells more than what was answered.
        """
        return answer_ms * len(self.arrivals.seconds.get("200", [])) / (1e3 * self.cpu_seconds)

    def refusal_ms(self, loop_ms: float) -> float:
        """CPU time of a refusal: what the event loop took beyond its part in the answers."""
        answers, refusals = (len(self.arrivals.seconds.get(status, [])) for status in ("200", "429"))
        return (1e3 * self.loop_seconds - answers * loop_ms) / max(1, refusals)


def closed(server: Server, body: Path, *, seconds: float) -> Closed:
    """Load it with a closed loop."""
    cpu, loop = server.cpu_seconds(), server.loop_seconds()
    with Prober(server):
        outcome = Outcome(**clients.outcome("load", server, body, connections=_CONNECTIONS, seconds=seconds))
    if outcome.errors or not outcome.latencies:
        raise RuntimeError(f"A service that can answer does. Received: {outcome.errors} errors from {server.url}.")
    cpu, loop = (1e3 * (now - then) for now, then in ((server.cpu_seconds(), cpu), (server.loop_seconds(), loop)))
    return Closed(outcome.throughput, cpu / len(outcome.latencies), loop / len(outcome.latencies))


def opened(server: Server, body: Path, *, rate: float, seconds: float) -> Open:
    """Send so many requests a second, answered or not."""
    cpu, loop = server.cpu_seconds(), server.loop_seconds()
    with Prober(server) as prober:
        arrivals = Arrivals(**clients.outcome("arrivals", server, body, rate=rate, seconds=seconds))
    return Open(arrivals, prober, server.cpu_seconds() - cpu, server.loop_seconds() - loop)
