"""A store whose model TensorFlow has no part in: for tests of what is around a model, with a process that starts fast.

It is for the onnx runtime alone. Its logit is how loud a window is, so that nobody mistakes it for a detector.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from model_store.detector import Detector, probe_waveform
from model_store.manifest import Manifest, Probe
from model_store.store import Store
from tests.artifacts import manifest

FAMILY = "light"
GAIN = 10.0
SEED = 1


def make_light_store(root: Path) -> Path:
    """A store of ``light@1``."""
    samples = manifest(1, {"model.keras": "0" * 64, "card.md": "0" * 64}).input.window_samples
    windows = helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["k", samples])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["k"])
    nodes = [
        helper.make_node("Abs", ["windows"], ["rectified"]),
        helper.make_node("ReduceMean", ["rectified"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["logits"]),
    ]
    gain = helper.make_tensor("gain", TensorProto.FLOAT, [], [GAIN])
    graph = helper.make_graph(nodes, "light", [windows], [logits], [gain])
    root.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), root / "model.onnx")
    (root / "model.keras").write_bytes(b"not a model")
    probe = Probe(seed=SEED, logit=GAIN * float(np.abs(probe_waveform(SEED, samples=samples)).mean()), tolerance=1e-3)

    def complete(version: int, files: dict[str, str]) -> Manifest:
        return manifest(version, files, family=FAMILY).model_copy(update={"probe": probe})

    Store(root / "store").publish(
        model=root / "model.keras",
        onnx=root / "model.onnx",
        card=lambda draft: f"# {draft.name}\n",
        manifest=complete,
        check=lambda folder: Detector.load(folder, runtime="onnx"),
    )
    return root / "store"
