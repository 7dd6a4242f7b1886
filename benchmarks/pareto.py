"""python -m benchmarks.pareto RUN...: what a model errs against what it costs, of runs that were trained.

The EER is the least of dev's in the run's history: it chose the epoch, so it compares runs and promises nothing, and
only runs that heard the same dev compare. The cost is CPU time on one core, in TensorFlow, of the whole model, for a
second of audio.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from pydantic import ValidationError

from benchmarks.faults import or_a_sentence
from training.config import Config
from training.fit import MODEL_FILE, read_history

mpl.use("Agg")
from matplotlib import pyplot as plt

_CALL_WINDOWS = 8
_CALL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Point:
    """A run."""

    name: str
    families: str  # of its branches, each with its front end
    parameters: int
    dev_eer: float
    cpu_ms: float  # a second of audio


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both, the cheapest first.

    Examples
    --------
    >>> cheap, dear, beaten = (Point("", "", 0, eer, ms) for eer, ms in ((0.2, 1.0), (0.1, 3.0), (0.1, 4.0)))
    >>> front([beaten, dear, cheap]) == [cheap, dear]
    True
    """
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cpu_ms, point.dev_eer)):
        if not found or point.dev_eer < found[-1].dev_eer:
            found.append(point)
    return found


def measure(run: Path) -> Point:
    """A run's figures; for a process that is tied to one core."""
    import keras  # noqa: PLC0415
    import tensorflow  # noqa: PLC0415

    config = Config.model_validate_json((run / "config.json").read_text())
    model = keras.saving.load_model(run / MODEL_FILE, compile=False, safe_mode=True)
    function = tensorflow.function(lambda windows: model(windows, training=False), autograph=False)
    samples = config.input.window_samples
    noise = 0.1 * np.random.default_rng(0).standard_normal((_CALL_WINDOWS, samples), np.float32)
    windows = tensorflow.constant(noise)
    function(windows)
    least, begun = np.inf, time.perf_counter()
    while time.perf_counter() - begun < _CALL_SECONDS or not np.isfinite(least):
        before = time.process_time()
        function(windows)
        least = min(least, time.process_time() - before)
    return Point(
        name=run.name,
        families=", ".join(f"{branch.family} on {branch.front_end.kind}" for branch in config.branches.values()),
        parameters=model.count_params(),
        dev_eer=min(read_history(run)["dev_eer"]),
        cpu_ms=1e3 * float(least) / (_CALL_WINDOWS * config.input.window_seconds),
    )


def plot(points: Sequence[Point], path: Path) -> None:
    """EER against cost; the line joins what nothing beats."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    best = front(points)
    axes.plot([point.cpu_ms for point in best], [100 * point.dev_eer for point in best], ":", color="grey")
    for point in points:
        axes.plot(point.cpu_ms, 100 * point.dev_eer, "o", color="#1b6ca8" if point in best else "#bbbbbb")
        axes.annotate(point.name, (point.cpu_ms, 100 * point.dev_eer), textcoords="offset points", xytext=(6, 4))
    axes.set(xscale="log", xlabel="CPU ms a second of audio, one core", ylabel="EER on dev, %")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure each run, and write pareto.json and pareto.png."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pareto", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders that `python -m training train` made")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "sched_setaffinity"):  # one core, before TensorFlow counts them
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    points = []
    for run in arguments.runs:
        try:
            points.append(measure(run))
        except ValidationError:
            print(f"{run}: left out, since its configuration is of another version", file=sys.stderr)
    for point in sorted(points, key=lambda point: point.cpu_ms):
        mark = "*" if point in front(points) else " "
        print(f"{mark} {point.name}: {100 * point.dev_eer:.1f} %, {point.cpu_ms:.2f} ms, {point.families}")
    (arguments.out / "pareto.json").write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")
    plot(points, arguments.out / "pareto.png")


if __name__ == "__main__":
    with or_a_sentence():
        main()
