"""``python -m benchmarks.compare TREE...``: this version of the service against others of it, loaded in turn.

A machine that others use too is faster now and slower in an hour: figures of two runs compare nothing. So each round
loads every version once, the others stopped, and what is compared is the ratio within a round. A TREE is a checkout, as
``git worktree add TREE COMMIT`` makes one; its service runs in this environment, on this tree's models.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import clips, rounds, servers, stats
from benchmarks.rounds import Case, Loads
from model_store.store import DEFAULT_ROOT

HERE = "this"


def compare(
    trees: Sequence[Path], cases: Sequence[Case], *, store: Path, model: str, runtime: str, seconds: float, count: int
) -> dict[Case, dict[str, Loads]]:
    """Load the service of this tree and of others in turn, after a round that is not counted.

    Raises
    ------
    RuntimeError
        A version does not start, answers nothing, or gives other logits than this one.
    """
    settings = {"BONAFIDE_RUNTIME": runtime, "BONAFIDE_LOG_LEVEL": "WARNING"}
    sent = clips.encoded()
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bonafide-benchmark-")))
        running = {}
        for number, (name, tree) in enumerate(_named(trees).items()):
            start = partial(servers.ours, store.resolve(), model, name=name, settings=settings, folder=tree)
            running[name] = stack.enter_context(start(log=logs / f"{number}.log"))
        this, *others = running.values()
        rounds.check_equal(this, others, sent)
        load = partial(rounds.interleaved, cases, running, sent, load_seconds=seconds)
        load(until=0.0, most_rounds=1)
        return load(until=math.inf, most_rounds=count)


def table(found: Mapping[Case, Mapping[str, Loads]]) -> str:
    """Markdown: a row for each version under each load."""
    lines = [
        "| load | version | requests/s | of it, what this one answers | CPU ms a request | p50, p99, ms | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, by_name in found.items():
        for name, loads in by_name.items():
            ratio = stats.spread(stats.ratios(by_name[HERE].throughput, loads.throughput))
            p50, p99 = (stats.percentile_ms(loads.latencies, percent) for percent in (50, 99))
            lines.append(
                f"| {case} | {name} | {stats.spread(loads.throughput):.0f} | {ratio:.2f} "
                f"| {stats.spread(loads.server_cpu_ms):.2f} | {p50:.1f}, {p99:.1f} | {loads.errors} |"
            )
    return "\n".join(lines)


def _named(trees: Sequence[Path]) -> dict[str, Path]:
    """This tree, and the others by what they were called."""
    named = {HERE: Path.cwd()} | {str(tree): tree for tree in trees}
    if len(named) <= len(trees):
        raise RuntimeError(f"Versions are compared by trees of their own. Received: {', '.join(map(str, trees))}.")
    return named


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("trees", type=Path, nargs="+", metavar="TREE", help="a checkout of another version")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="(default: 1 8)")
    parser.add_argument("--clip", default="pcm16", choices=sorted(clips.encoded()), help="(default: pcm16)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load")
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="folder of the model store")
    parser.add_argument("--model", default="duo", help="family or family@version")
    parser.add_argument("--runtime", default="keras", choices=("keras", "onnx"))
    arguments = parser.parse_args()
    servers.told_to_end()
    try:
        names = tuple(_named(arguments.trees))
        found = compare(
            arguments.trees,
            [Case(arguments.clip, clients, names) for clients in arguments.clients],
            store=arguments.store,
            model=arguments.model,
            runtime=arguments.runtime,
            seconds=arguments.seconds,
            count=arguments.rounds,
        )
    except (OSError, RuntimeError) as error:  # OSError: a tree that is not there
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
