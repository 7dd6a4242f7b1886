"""python -m benchmarks: our service against others around the same model, and training, in one run, here."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks import clips, machine, report, rounds, servers
from benchmarks.cost import Costs, Length
from benchmarks.floor import Floor, Timed
from benchmarks.learning import Learning
from benchmarks.results import Results, Start
from benchmarks.rounds import Case
from benchmarks.servers import Server
from model_store.errors import StoreError
from model_store.manifest import ONNX_FILE
from model_store.store import DEFAULT_ROOT, Store

OURS = ("ours", "ours, onnx")
_ALL = (*OURS, "obvious", "obvious, on_batch", "LitServe", "Mosec")
_RESULTS = Path(__file__).parent / "results"

Starter = Callable[..., AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    cases: tuple[Case, ...]
    starts: int
    load_seconds: float
    loads_until_seconds: float  # since the run began
    most_rounds: int
    batches: tuple[tuple[str, int], ...]  # clip, and how many of it
    batch_repeats: int
    lengths: tuple[int, ...]  # seconds
    floor_rounds: int
    training: tuple[str, ...]  # options of benchmarks.training


_QUICK_SERVERS = (*OURS, "obvious", "LitServe")
QUICK = Plan(
    cases=(
        Case("pcm16", 1, _QUICK_SERVERS),
        Case("pcm16", 8, _QUICK_SERVERS),
        Case("pcm16", 8, OURS, raw=True),
    ),
    starts=1,
    load_seconds=0.8,
    loads_until_seconds=45.0,
    most_rounds=3,
    batches=(("pcm16", 100),),
    batch_repeats=1,
    lengths=(1, 4, 15, 60),
    floor_rounds=3,
    training=("--clips", "2000", "--rounds", "2", "--seconds", "1", "--recipes", "duo"),
)
FULL = Plan(
    cases=(
        *(Case("pcm16", connections, _ALL) for connections in (1, 8, 32)),
        *(Case(clip, 8, _ALL) for clip in ("ulaw", "flac")),
        *(Case(clip, 8, OURS, raw=True) for clip in ("pcm16", "ulaw", "flac")),
    ),
    starts=3,
    load_seconds=1.5,
    loads_until_seconds=430.0,
    most_rounds=7,
    batches=(("pcm16", 1), ("pcm16", 10), ("pcm16", 100), ("pcm16", 500), ("ulaw", 100), ("flac", 100)),
    batch_repeats=3,
    lengths=(1, 3, 10, 30, 60, 180, 600),
    floor_rounds=7,
    training=("--rounds", "4", "--seconds", "2"),
)


def measure(plan: Plan, *, store: Path, model: str, out: Path) -> Results:
    """Measure everything; the servers' own words go to files in `out`."""
    until = time.monotonic() + plan.loads_until_seconds
    artifact = Store(store).resolve(model)
    starters = _starters(artifact, store, model)
    cases = [replace(case, servers=tuple(name for name in case.servers if name in starters)) for case in plan.cases]
    sent = clips.encoded()
    starts: dict[str, list[Start]] = {name: [] for name in starters}
    for name in OURS:
        for number in range(plan.starts - 1 if name in starters else 0):
            with starters[name](log=out / f"start-{number}.log") as server:
                starts[name].append(_start(server, sent["pcm16"]))
    with ExitStack() as stack:
        running: dict[str, Server] = {}
        for name in dict.fromkeys(name for case in cases for name in case.servers):
            server = stack.enter_context(starters[name](log=out / f"{name}.log"))
            starts[name].append(_start(server, sent["pcm16"]))
            running[name] = server
        _say("; ".join(running), "are up; loading them in turn")
        difference = rounds.check_equal(running["ours"], list(running.values()), sent)
        windows = {clip: len(rounds.logits_of(running["ours"], sent[clip])) for clip in sent}
        warm = [Case("pcm16", 8, tuple(running))]
        rounds.interleaved(warm, running, sent, load_seconds=0.5, until=0.0, most_rounds=1)
        loads = rounds.interleaved(
            cases, running, sent, load_seconds=plan.load_seconds, until=until, most_rounds=plan.most_rounds
        )
        memory = {name: server.memory() for name, server in running.items()}
        _say("batches")
        batches = []
        for clip, count in plan.batches:
            for name in [name for name in OURS if name in running]:
                with servers.alone(running[name], running.values()):
                    batches.append(rounds.batch(running[name], sent[clip], clips=count, repeats=plan.batch_repeats))
    _say("clips of growing length, the model alone, and training")
    apart = Apart()
    return Results(
        machine=machine.describe(),
        model=f"{artifact.parent.name}@{artifact.name}",
        logit_difference=difference,
        clip_windows=windows,
        clip_names={name: clip.name for name, clip in sent.items()},
        starts={name: found for name, found in starts.items() if found},
        loads=loads,
        memory=memory,
        batches=batches,
        costs={name: costs for name in OURS if name in running and (costs := _costs(apart, artifact, plan, name))},
        floor=_floor(apart, artifact, plan) if "ours, onnx" in running else None,
        learning=Learning.from_json(steps) if (steps := apart.measure("training", *plan.training)) else None,
        failed=apart.failed,
    )


def _starters(artifact: Path, store: Path, model: str) -> dict[str, Starter]:
    """How each server is started that this artifact can have: without a graph, none in ONNX Runtime."""
    starters: dict[str, Starter] = {
        "ours": partial(servers.ours, store, model),
        "ours, onnx": partial(servers.ours, store, model, name="ours, onnx", settings={"BONAFIDE_RUNTIME": "onnx"}),
        "obvious": partial(servers.obvious, artifact, call="predict"),
        "obvious, on_batch": partial(servers.obvious, artifact, call="predict_on_batch"),
        "LitServe": partial(servers.litserve, artifact),
        "Mosec": partial(servers.mosec, artifact),
    }
    if not (artifact / ONNX_FILE).exists():
        del starters["ours, onnx"]
        _say(f"{artifact} has no {ONNX_FILE}: nothing of ONNX Runtime is measured")
    return starters


def _start(server: Server, clip: clips.Clip) -> Start:
    """From the start of the process to ready, and to the first answer."""
    begun = time.perf_counter()
    body, content_type = rounds.body_of(clip, raw=server.raw)
    answer = httpx.post(
        f"{server.url}/detect", content=body, headers={"Content-Type": content_type}, timeout=90.0, trust_env=False
    )
    answer.raise_for_status()
    return Start(server.ready_seconds, server.ready_seconds + time.perf_counter() - begun)


def _costs(apart: "Apart", artifact: Path, plan: Plan, name: str) -> Costs | None:
    runtime = "onnx" if name.endswith("onnx") else "keras"
    found = apart.measure("cost", str(artifact), "--runtime", runtime, "--lengths", *map(str, plan.lengths))
    return found and Costs(found["model_clips_per_second"], [Length(**length) for length in found["lengths"]])


def _floor(apart: "Apart", artifact: Path, plan: Plan) -> Floor | None:
    found = apart.measure("floor", str(artifact), "--rounds", str(plan.floor_rounds))
    return found and Floor(**found | {"timed": [Timed(**timed) for timed in found["timed"]]})


@dataclass(slots=True)
class Apart:
    """What processes of their own find. One that fails takes nothing of what was found before with it."""

    failed: list[str] = field(default_factory=list)

    def measure(self, module: str, *arguments: str) -> dict[str, Any] | None:
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            self.failed.append(f"benchmarks.{module} ended with {done.returncode}")
            return None
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _say(*words: str) -> None:
    print("benchmarks:", *words, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, and write results.json, results.md and the plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute and a half instead of ten")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the results")
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="folder of the model store")
    parser.add_argument("--model", default="duo", help="family or family@version")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    servers.told_to_end()
    begun = time.monotonic()
    try:
        plan = QUICK if arguments.quick else FULL
        results = measure(plan, store=arguments.store, model=arguments.model, out=arguments.out)
    except (StoreError, RuntimeError, httpx.HTTPError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    report.write(results, arguments.out)
    print((arguments.out / "results.md").read_text(encoding="utf-8"))
    _say(f"{time.monotonic() - begun:.0f} s; in {arguments.out}: results.json, results.md and plots")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
