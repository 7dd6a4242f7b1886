"""The model's call alone on one core, against what float32 can come to there. A process of its own.

``python -m benchmarks.floor ARTIFACT_FOLDER`` prints one `Floor` as JSON. The floor is the time that the graph's
products would take at the rate of a large product of float32 matrices, measured on the same core in the same rounds.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.pop("OPENBLAS_CORETYPE", None)  # before NumPy: the peak is this core's, not another's
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # and of one thread: more would wait for one another on the core

import numpy as np
import onnx
import onnx.utils

from benchmarks import stats
from benchmarks.clips import speech
from benchmarks.faults import or_a_sentence
from model_store.manifest import ONNX_FILE
from model_store.runtimes import RUNTIMES, RuntimeName
from model_store.store import read_manifest

FRONT_END = "front end, onnx"
_MATRIX = 1024  # rows and columns of what the peak is measured with
_CALL_SECONDS = 0.06  # a measurement repeats a call for at least so long


@dataclass(frozen=True, slots=True)
class Timed:
    """Calls of one size; CPU seconds of one, round by round."""

    what: str  # a runtime, or `FRONT_END`
    windows: int
    seconds: list[float]


@dataclass(frozen=True, slots=True)
class Floor:
    """What was counted, and what was measured."""

    window_mflop: float  # of convolutions and products of matrices; a multiplication and an addition are two
    front_end_mflop: float  # of it, before the first convolution
    peak_gflops: list[float]  # of each round
    timed: list[Timed]

    def share(self, what: str, windows: int) -> stats.Spread:
        """A call's speed relative to the floor's, round by round."""
        [found] = [timed for timed in self.timed if (timed.what, timed.windows) == (what, windows)]
        flop = 1e6 * self.window_mflop * windows
        floors = [flop / (1e9 * peak) for peak in self.peak_gflops]
        return stats.spread(stats.ratios(floors, found.seconds))

    def network_ms(self, windows: int) -> float:
        """CPU time of a window in ONNX Runtime, in calls of so many, without the front end: the median, ms."""
        medians = {timed.what: stats.spread(timed.seconds).median for timed in self.timed if timed.windows == windows}
        return 1e3 * (medians["onnx"] - medians[FRONT_END]) / windows


def products(graph: onnx.GraphProto) -> int:
    """FLOPs of a graph's convolutions and matrix products, its shapes known; nothing else in it is counted.

    Raises
    ------
    ValueError
        A shape is not known.
    """
    shapes = {item.name: list(item.dims) for item in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dimensions = value.type.tensor_type.shape.dim
        shapes[value.name] = [d.dim_value if d.HasField("dim_value") else -1 for d in dimensions]
    total = 0
    for node in graph.node:
        if node.op_type not in {"Conv", "MatMul", "Gemm"}:
            continue
        result, kernel = shapes[node.output[0]], shapes[node.input[1]]
        turned = any(item.name == "transB" and item.i for item in node.attribute)
        terms = math.prod(kernel[1:]) if node.op_type == "Conv" else kernel[-1 if turned else -2]
        if min([*result, terms], default=1) < 0:
            raise ValueError(f"Products are counted where shapes are known. Received: {node.name}, {result}.")
        total += 2 * math.prod(result) * terms
    return total


def of_one_window(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its batch fixed at 1, and with the shapes of everything in it."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del fixed.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def front_end(model: onnx.ModelProto) -> onnx.ModelProto:
    """The part of a model that comes before its first convolutions."""
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    features, waiting, seen = set(), [node for node in graph.node if node.op_type == "Conv"], set[str]()
    for convolution in waiting:
        behind, others = [convolution.input[0]], False
        seen.clear()
        while behind:
            node = made_by.get(behind.pop())
            if node is None or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            others |= node.op_type == "Conv"
            behind += node.input
        if not others:
            features.add(convolution.input[0])
    extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    return extractor.extract_model([graph.input[0].name], sorted(features))


def calls(folder: Path, front: onnx.ModelProto) -> dict[str, Callable[[np.ndarray], object]]:
    """What is timed: the artifact in each runtime, and its front end; each with one thread."""
    import onnxruntime  # noqa: PLC0415 (after the process has been tied to its core)

    manifest = read_manifest(folder)
    runtimes: tuple[RuntimeName, ...] = ("keras", "onnx")
    found: dict[str, Callable[[np.ndarray], object]] = {
        name: RUNTIMES[name].compiled(folder / RUNTIMES[name].file, manifest, 1) for name in runtimes
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(front.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return found | {FRONT_END: lambda windows: session.run(None, {name: windows})}


def measure(folder: Path, *, sizes: Sequence[int], rounds: int) -> Floor:
    """Count, and measure in rounds: the peak, then each call of each size, and again."""
    model = onnx.load(folder / ONNX_FILE)
    front = front_end(model)
    one = of_one_window(model)
    running = calls(folder, front)
    shape = read_manifest(folder).input
    clip = speech(shape.window_samples / shape.sample_rate, sample_rate=shape.sample_rate)
    batches = {size: np.tile(clip, (size, 1)) for size in sizes}
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((2, _MATRIX, _MATRIX), np.float32)
    work = {(what, size): partial(call, batches[size]) for what, call in running.items() for size in sizes}
    peaks, found = [], {key: list[float]() for key in work}
    for call in work.values():
        call()
    for _ in range(rounds):
        peaks.append(2 * _MATRIX**3 / _cpu_seconds(lambda: left @ right) / 1e9)
        for key, call in work.items():
            found[key].append(_cpu_seconds(call))
    return Floor(
        window_mflop=products(one.graph) / 1e6,
        front_end_mflop=products(of_one_window(front).graph) / 1e6,
        peak_gflops=peaks,
        timed=[Timed(what, size, seconds) for (what, size), seconds in found.items()],
    )


def _cpu_seconds(call: Callable[[], object]) -> float:
    """CPU time of one call, the least of several: what others do on the core only adds."""
    least, begun = math.inf, time.perf_counter()
    while time.perf_counter() - begun < _CALL_SECONDS:
        before = time.process_time()
        call()
        least = min(least, time.process_time() - before)
    return least


def main() -> None:
    """Measure on one core, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("artifact", type=Path, help="folder of the artifact")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 8, 32], help="windows in a call")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    floor = measure(arguments.artifact, sizes=arguments.sizes, rounds=arguments.rounds)
    json.dump(dataclasses.asdict(floor), sys.stdout)


if __name__ == "__main__":
    with or_a_sentence():
        main()
