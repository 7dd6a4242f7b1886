"""python -m benchmarks.overload: our service at ten times what it can do, and through changes of version under load.

What it can do is measured first, and again afterwards, by a closed loop. Then requests come at ten times that rate,
while another client asks for health and metrics. Last, two versions of one model take turns while clients ask on.
Prints a table, and writes overload.json.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks import clients, clips, machine, servers, switches
from benchmarks.arrivals import Arrivals
from benchmarks.load import Outcome
from benchmarks.results import Goal
from benchmarks.servers import Server
from model_store.errors import StoreError
from model_store.store import DEFAULT_ROOT, Store

_PROBED = ("/health/live", "/health/ready", "/metrics")
_PROBE_SECONDS = 0.1
_CONNECTIONS = 16  # of the closed loop: enough to keep the service busy
_TIMES = 10.0
_DEADLINE_SECONDS = 10.0  # BONAFIDE_DEADLINE_SECONDS' default


class Prober:
    """Asks for what a balancer and Prometheus ask for, all the while, and notes how long it takes."""

    def __init__(self, server: Server) -> None:
        self.seconds: dict[str, list[float]] = {path: [] for path in _PROBED}
        self.failed = 0
        self._stop = Event()
        self._host = server.url.removeprefix("http://")
        self._thread = Thread(target=self._ask)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        connection = HTTPConnection(self._host, timeout=10)
        while not self._stop.wait(_PROBE_SECONDS):
            for path in _PROBED:
                begun = time.perf_counter()
                try:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    answer.read()
                    self.failed += answer.status != 200
                except OSError:
                    self.failed += 1
                    connection.close()
                self.seconds[path].append(time.perf_counter() - begun)
        connection.close()


def capacity(server: Server, body: Path, *, seconds: float) -> float:
    """Requests a second that a closed loop gets answered."""
    outcome = Outcome(**clients.outcome("load", server, body, connections=_CONNECTIONS, seconds=seconds))
    if outcome.errors or not outcome.latencies:
        raise RuntimeError(f"A service that can answer does. Received: {outcome.errors} errors from {server.url}.")
    return outcome.throughput


def overload(server: Server, body: Path, *, seconds: float, times: float = _TIMES) -> dict[str, Any]:
    """The figures of an overload, with what the service can do before and after it."""
    before = capacity(server, body, seconds=max(1.0, seconds / 3))
    with Prober(server) as prober:
        arrivals = Arrivals(**clients.outcome("arrivals", server, body, rate=times * before, seconds=seconds))
    after = capacity(server, body, seconds=max(1.0, seconds / 3))
    ok, shed = arrivals.seconds.get("200", []), arrivals.seconds.get("429", [])
    return {
        "capacity": [before, after],
        "offered": len(arrivals.late_seconds) / arrivals.elapsed_seconds,
        "answered": arrivals.answered_in_time / arrivals.elapsed_seconds,
        "statuses": {status: len(found) for status, found in sorted(arrivals.seconds.items())},
        "lost": arrivals.lost,
        "unsent": arrivals.unsent,
        "admitted_ms": clients.percentiles(ok),
        "shed_ms": clients.percentiles(shed),
        "client_late_ms": clients.percentiles(arrivals.late_seconds),
        "client_cpu_share": arrivals.cpu_seconds / arrivals.elapsed_seconds,
        "probes_ms": {path: clients.percentiles(found) for path, found in prober.seconds.items()},
        "probes_failed": prober.failed,
    }


def goals(found: dict[str, Any]) -> list[Goal]:
    """The promises, and whether they were kept."""
    load, change = found["overload"], found["switches"]
    faults = {status: count for status, count in load["statuses"].items() if status >= "500"}
    best = statistics.mean(load["capacity"])
    share = load["answered"] / best
    slowest = max(figures["p99"] for figures in load["probes_ms"].values())
    return [
        Goal(
            "answers 5xx, and requests lost",
            "0",
            f"{sum(faults.values())} and {load['lost']}",
            not faults and not load["lost"],
        ),
        Goal("refused: p99", "< 100 ms", f"{load['shed_ms']['p99']:.0f} ms", load["shed_ms"]["p99"] < 100),
        Goal(
            "admitted: slowest",
            f"< {_DEADLINE_SECONDS:g} s",
            f"{load['admitted_ms']['max'] / 1e3:.2f} s",
            load["admitted_ms"]["max"] < 1e3 * _DEADLINE_SECONDS,
        ),
        Goal("answered, to what a closed loop gets", "≥ 90 %", f"{100 * share:.0f} %", share >= 0.9),
        Goal("health and metrics: p99", "< 50 ms", f"{slowest:.0f} ms", slowest < 50 and not load["probes_failed"]),
        Goal(
            "changes of version, requests failed",
            "20, 0",
            f"{change['switches']}, {change['failed']}",
            change["failed"] == 0,
        ),
    ]


def table(found: dict[str, Any]) -> str:
    """The goals and the figures behind them, as Markdown."""
    load = found["overload"]
    lines = ["| | wanted | measured | |", "|---|---|---|---|"]
    lines += [f"| {g.what} | {g.wanted} | {g.measured} | {'met' if g.met else 'missed'} |" for g in goals(found)]
    lines += [
        "",
        f"{load['offered']:.0f} requests a second came for {found['seconds']:g} s; a closed loop got "
        f"{' and '.join(f'{each:.1f}' for each in load['capacity'])} answered before and after. "
        f"{', '.join(f'{count} x {status}' for status, count in load['statuses'].items())}; {load['unsent']} not sent. "
        f"The client was late by {load['client_late_ms']['p99']:.0f} ms (p99).",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and write overload.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of overload")
    parser.add_argument("--switches", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="folder of the model store")
    parser.add_argument("--model", default="duo", help="family or family@version")
    parser.add_argument("--runtime", default="keras", choices=("keras", "onnx"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bonafide-benchmark-") as folder:
        root, body = Path(folder) / "store", Path(folder) / "clip"
        body.write_bytes(clips.encoded()["ulaw"].data)
        try:
            family = switches.two_versions(Store(arguments.store).resolve(arguments.model), root)
            settings = {"BONAFIDE_STORE_POLL_SECONDS": "0.2", "BONAFIDE_RUNTIME": arguments.runtime}
            with servers.ours(root, family, log=arguments.out / "overload.log", settings=settings) as server:
                capacity(server, body, seconds=2.0)  # it is warm then
                found = {
                    "machine": machine.describe(),
                    "seconds": arguments.seconds,
                    "overload": overload(server, body, seconds=arguments.seconds),
                    "switches": switches.switches(server, Store(root), family, body, count=arguments.switches),
                }
        except (StoreError, RuntimeError) as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    (arguments.out / "overload.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
