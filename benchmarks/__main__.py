"""python -m benchmarks: our service against the obvious one, in one run, on this machine."""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks import clips, machine, report, rounds, servers
from benchmarks.cost import Costs, Length
from benchmarks.results import Results, Start
from benchmarks.rounds import Case
from model_store.errors import StoreError
from model_store.store import DEFAULT_ROOT, Store

_BOTH = ("ours", "obvious")
_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    cases: tuple[Case, ...]
    starts: int
    load_seconds: float
    loads_until_seconds: float  # since the run began
    most_rounds: int
    batch_repeats: int
    lengths: tuple[int, ...]  # seconds


QUICK = Plan(
    cases=(Case("pcm16", 1, _BOTH), Case("pcm16", 8, _BOTH), Case("pcm16", 8, ("ours",), raw=True)),
    starts=1,
    load_seconds=0.8,
    loads_until_seconds=36.0,
    most_rounds=3,
    batch_repeats=1,
    lengths=(1, 4, 15, 60),
)
FULL = Plan(
    cases=(
        Case("pcm16", 1, _BOTH),
        Case("pcm16", 8, (*_BOTH, "obvious, on_batch")),
        Case("pcm16", 32, _BOTH),
        Case("ulaw", 8, _BOTH),
        Case("flac", 8, _BOTH),
        Case("pcm16", 8, ("ours",), raw=True),
    ),
    starts=3,
    load_seconds=2.0,
    loads_until_seconds=220.0,
    most_rounds=9,
    batch_repeats=5,
    lengths=(1, 3, 10, 30, 60, 180, 600),
)


def measure(plan: Plan, *, store: Path, model: str, out: Path) -> Results:
    """Measure everything; the servers' own words go to files in `out`."""
    begun = time.monotonic()
    artifact = Store(store).resolve(model)
    sent = clips.encoded()
    starts: list[Start] = []
    for number in range(plan.starts - 1):
        with servers.ours(store, model, log=out / f"start-{number}.log") as ours:
            starts.append(_start(ours, sent["pcm16"]))
    with ExitStack() as stack:
        ours = stack.enter_context(servers.ours(store, model, log=out / "ours.log"))
        starts.append(_start(ours, sent["pcm16"]))
        obvious = stack.enter_context(servers.obvious(artifact, call="predict", log=out / "obvious.log"))
        running = {"ours": ours, "obvious": obvious}
        obvious_start = _start(obvious, sent["pcm16"])
        if any("obvious, on_batch" in case.servers for case in plan.cases):
            running["obvious, on_batch"] = stack.enter_context(
                servers.obvious(artifact, call="predict_on_batch", log=out / "on_batch.log")
            )
        _say("the three" if len(running) == 3 else "the two", "are up; loading them in turn")
        difference = rounds.check_equal(ours, obvious, sent)
        warm = [Case("pcm16", 8, tuple(running))]
        rounds.interleaved(warm, running, sent, load_seconds=0.5, until=0.0, most_rounds=1)
        loads = rounds.interleaved(
            plan.cases,
            running,
            sent,
            load_seconds=plan.load_seconds,
            until=begun + plan.loads_until_seconds,
            most_rounds=plan.most_rounds,
        )
        memory = {name: server.memory() for name, server in running.items()}
        _say("batches")
        batch = rounds.batch_rate(ours, sent["pcm16"], clips=100, repeats=plan.batch_repeats)
        after_batch = ours.memory()
    _say("clips of growing length, and the model alone")
    return Results(
        machine=machine.describe(),
        model=f"{artifact.parent.name}@{artifact.name}",
        logit_difference=difference,
        starts={"ours": starts, "obvious": [obvious_start]},
        loads=loads,
        memory=memory | {"ours, after /batch": after_batch},
        batch_clips_per_second=batch,
        costs=_costs(artifact, plan.lengths),
    )


def _start(server: servers.Server, clip: clips.Clip) -> Start:
    """From the start of the process to ready, and to the first answer."""
    begun = time.perf_counter()
    files = {"file": ("clip.wav", clip.data, clip.media_type)}
    httpx.post(f"{server.url}/detect", files=files, timeout=60.0, trust_env=False).raise_for_status()
    return Start(server.ready_seconds, server.ready_seconds + time.perf_counter() - begun)


def _costs(artifact: Path, lengths: tuple[int, ...]) -> Costs:
    command = [sys.executable, "-m", "benchmarks.cost", str(artifact), "--lengths", *map(str, lengths)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as the service sets it for itself
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return Costs(found["model_clips_per_second"], [Length(**length) for length in found["lengths"]])


def _say(*words: str) -> None:
    print("benchmarks:", *words, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, and write results.json, results.md and the plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of five")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the results")
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="folder of the model store")
    parser.add_argument("--model", default="duo", help="family or family@version")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    try:
        plan = QUICK if arguments.quick else FULL
        results = measure(plan, store=arguments.store, model=arguments.model, out=arguments.out)
    except (StoreError, RuntimeError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    report.write(results, arguments.out)
    print((arguments.out / "results.md").read_text(encoding="utf-8"))
    _say(f"{time.monotonic() - begun:.0f} s; in {arguments.out}: results.json, results.md and plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
