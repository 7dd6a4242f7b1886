"""python -m benchmarks.overload: our service at ten times what it can do, and through changes of version under load.

In turn, round after round: a closed loop says what it can do, then requests come at ten times that rate, whether they
are answered or not; health and metrics are asked for all the while. The clients have a core of their own, as callers
have machines of their own, and the service has the others. Last, two versions of one model take turns while clients ask
on. Prints a table, and writes overload.json.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import clients, clips, machine, servers, stats, switches
from benchmarks.phases import Open, closed, opened
from benchmarks.results import Goal
from benchmarks.servers import Server
from model_store.errors import StoreError
from model_store.store import DEFAULT_ROOT, Store

_TIMES = 10.0
_DEADLINE_SECONDS = 10.0  # BONAFIDE_DEADLINE_SECONDS' default


def overload(server: Server, body: Path, *, seconds: float, times: float = _TIMES, rounds: int = 1) -> dict[str, Any]:
    """The figures of an overload, with what the service can do before and after each round of it."""
    can, found = [closed(server, body, seconds=max(1.0, seconds / 3))], list[Open]()
    for _ in range(rounds):
        found.append(opened(server, body, rate=times * can[-1].answered, seconds=seconds))
        can.append(closed(server, body, seconds=max(1.0, seconds / 3)))
    around = list(itertools.pairwise(can))
    best = [(before.answered + after.answered) / 2 for before, after in around]
    answer_ms = [(before.answer_ms + after.answer_ms) / 2 for before, after in around]
    loop_ms = [(before.loop_ms + after.loop_ms) / 2 for before, after in around]
    arrivals = [each.arrivals for each in found]
    statuses = sorted({status for each in arrivals for status in each.seconds})
    by_status = {status: [s for each in arrivals for s in each.seconds.get(status, [])] for status in statuses}
    refused = [len(each.seconds.get("429", [])) / each.elapsed_seconds for each in arrivals]
    return {
        "times": times,
        "capacity": [each.answered for each in can],
        "answer_ms": [each.answer_ms for each in can],
        "loop_ms": [each.loop_ms for each in can],
        "offered": [len(each.late_seconds) / each.elapsed_seconds for each in arrivals],
        "answered": [each.answered for each in found],
        "kept": stats.ratios([each.answered for each in found], best),
        "answers_share": [each.answers_share(ms) for each, ms in zip(found, answer_ms, strict=True)],
        "refused": refused,
        "refusal_us": [1e3 * each.refusal_ms(ms) for each, ms in zip(found, loop_ms, strict=True)],
        "service_cores": len(os.sched_getaffinity(server.pid)),
        "statuses": {status: len(seconds) for status, seconds in by_status.items()},
        "lost": sum(each.lost for each in arrivals),
        "unsent": sum(each.unsent for each in arrivals),
        "admitted_ms": clients.percentiles(by_status.get("200", [])),
        "shed_ms": clients.percentiles(by_status.get("429", [])),
        "client_late_ms": clients.percentiles([s for each in arrivals for s in each.late_seconds]),
        "client_cpu_share": [each.cpu_seconds / each.elapsed_seconds for each in arrivals],
        "probes_ms": {
            path: clients.percentiles([s for each in found for s in each.prober.seconds[path]])
            for path in found[0].prober.seconds
        },
        "probes_failed": sum(each.prober.failed for each in found),
    }


def goals(found: dict[str, Any]) -> list[Goal]:
    """The promises, and whether they were kept."""
    load, change = found["overload"], found["switches"]
    faults = {status: count for status, count in load["statuses"].items() if status >= "500"}
    kept = stats.spread([100 * each for each in load["kept"]])
    slowest = max(figures["p99"] for figures in load["probes_ms"].values())
    promises = [
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
        Goal("answered, to what a closed loop gets", "≥ 90 %", f"{kept:.0f} %", kept.median >= 90),
        Goal("health and metrics: p99", "< 50 ms", f"{slowest:.0f} ms", slowest < 50 and not load["probes_failed"]),
    ]
    if change is not None:
        count, failed = change["switches"], change["failed"]
        promises.append(Goal("changes of version, requests failed", f"{count}, 0", f"{count}, {failed}", failed == 0))
    return promises


def table(found: dict[str, Any]) -> str:
    """The goals and the figures behind them, as Markdown."""
    load = found["overload"]
    refusal = stats.spread(load["refusal_us"])
    shares = [
        us * rate / 1e4 / load["service_cores"] for us, rate in zip(load["refusal_us"], load["refused"], strict=True)
    ]
    lines = ["| | wanted | measured | |", "|---|---|---|---|"]
    lines += [f"| {g.what} | {g.wanted} | {g.measured} | {'met' if g.met else 'missed'} |" for g in goals(found)]
    lines += [
        "",
        f"{len(load['kept'])} rounds of {found['seconds']:g} s, in which {stats.spread(load['offered']):.0f} requests "
        f"a second came and {stats.spread(load['answered']):.1f} were answered; a closed loop got "
        f"{stats.spread(load['capacity']):.1f}. "
        f"{', '.join(f'{count} x {status}' for status, count in load['statuses'].items())}; "
        f"{load['unsent']} not sent. "
        f"An answer takes {stats.spread(load['answer_ms']):.2f} ms of CPU time, of which the event loop "
        f"{stats.spread(load['loop_ms']):.2f}, and a refusal {refusal:.0f} µs: refusals took "
        f"{stats.spread(shares):.1f} % of the cores of the service, {load['service_cores']}, and "
        f"{100 * stats.spread(load['answers_share']).median:.0f} % of the CPU time that it got went into answers. "
        f"The client took {stats.spread(load['client_cpu_share']):.2f} of a core of its own, and was late by "
        f"{load['client_late_ms']['p99']:.0f} ms (p99).",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and write overload.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of overload, in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--times", type=float, default=_TIMES, help="what a closed loop gets, so often")
    parser.add_argument("--switches", type=int, default=20, help="changes of version; 0: none")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="folder of the model store")
    parser.add_argument("--model", default="duo", help="family or family@version")
    parser.add_argument("--runtime", default="keras", choices=("keras", "onnx"))
    arguments = parser.parse_args()
    *service_cores, clients_core = sorted(os.sched_getaffinity(0))
    if not service_cores:
        parser.error("The clients have a core of their own. Received: one core for all.")
    os.sched_setaffinity(0, {clients_core})  # and of what is started from here, but for the service
    servers.told_to_end()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bonafide-benchmark-") as folder:
        root, body = Path(folder) / "store", Path(folder) / "clip"
        body.write_bytes(clips.encoded()["ulaw"].data)
        try:
            family = switches.two_versions(Store(arguments.store).resolve(arguments.model), root)
            settings = {"BONAFIDE_STORE_POLL_SECONDS": "0.2", "BONAFIDE_RUNTIME": arguments.runtime}
            with servers.ours(
                root, family, log=arguments.out / "overload.log", settings=settings, cores=service_cores
            ) as server:
                closed(server, body, seconds=2.0)  # it is warm then
                found = {
                    "machine": machine.describe(),
                    "seconds": arguments.seconds,
                    "overload": overload(
                        server, body, seconds=arguments.seconds, times=arguments.times, rounds=arguments.rounds
                    ),
                    "switches": switches.switches(server, Store(root), family, body, count=arguments.switches)
                    if arguments.switches
                    else None,
                }
        except (StoreError, RuntimeError) as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    (arguments.out / "overload.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
