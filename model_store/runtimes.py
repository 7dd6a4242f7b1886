"""What runs an artifact's model: Keras on TensorFlow, the reference, or ONNX Runtime, on the same weights.

Each is imported when it is first asked for and not before: a process that serves with the one need not have the other.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model_store.errors import InvalidArtifact, RuntimeMissing
from model_store.manifest import MODEL_FILE, ONNX_FILE, Manifest

# Before ONNX Runtime is imported, by whomever: by itself it tells its makers of each model that it runs.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

Call = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]  # windows (k, window_samples) -> logits (k,)
RuntimeName = Literal["keras", "onnx"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """A way to run a model."""

    packages: tuple[str, ...]  # that it is imported from
    file: str  # the artifact's file that it opens
    accepts: Callable[[Path, Manifest], None]  # raises InvalidArtifact for an artifact that is not for it
    compiled: Callable[[Path, Manifest, int | None], Call]  # a model's file, for so many callers side by side

    def check(self, folder: Path, manifest: Manifest) -> None:
        """See that it can open an artifact, before it does.

        Raises
        ------
        RuntimeMissing, InvalidArtifact
        """
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            raise RuntimeMissing(f"A runtime is installed before it is asked for. Received: {', '.join(missing)}.")
        self.accepts(folder, manifest)


def limit_threads(callers: int) -> None:
    """Let TensorFlow use a thread for each caller. Only the first call in a process has an effect, before any score.

    An operation takes one of them, and those of a model's branches run side by side: threads that share an operation
    out, and wait for each other in each, take up to half as much CPU time again.
    """
    _, tensorflow = _keras()
    with suppress(RuntimeError):  # TensorFlow has begun, with what it was given
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(callers)


def _keras_accepts(folder: Path, manifest: Manifest) -> None:
    keras, _ = _keras()
    if _minor(keras.__version__) != _minor(manifest.keras):
        # A saved model names Keras' private paths. TensorFlow's version is recorded but left to the probe.
        raise InvalidArtifact(
            f"An artifact is loaded by the minor version of Keras that saved it. "
            f"Received: {folder}, saved by {manifest.keras}; this is {keras.__version__}."
        )


def _keras_compiled(model: Path, manifest: Manifest, callers: int | None) -> Call:
    keras, tensorflow = _keras()
    if callers is not None:
        limit_threads(callers)
    loaded = keras.saving.load_model(model, compile=False, safe_mode=True)
    signature = [tensorflow.TensorSpec((None, manifest.input.window_samples), tensorflow.float32)]
    # One graph for any number of windows, made here: no call makes another.
    function = tensorflow.function(
        lambda windows: loaded(windows, training=False), input_signature=signature, autograph=False
    ).get_concrete_function()

    def call(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = function(tensorflow.constant(windows)).numpy()
        return logits

    return call


def _onnx_accepts(folder: Path, manifest: Manifest) -> None:
    if ONNX_FILE not in manifest.files:
        raise InvalidArtifact(
            f"The onnx runtime opens an artifact's {ONNX_FILE}. "
            f"Received: {folder}, published without one; the keras runtime opens it."
        )


def _onnx_compiled(model: Path, _manifest: Manifest, callers: int | None) -> Call:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1 if callers else 0  # 0: all cores
    options.inter_op_num_threads = 1  # a model is one chain of operations, but for branches that are shorter
    # Threads that wait for work by spinning take a core from whoever decodes: two and a half times the CPU time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    [waveforms], [logits] = session.get_inputs(), session.get_outputs()

    def call(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run([logits.name], {waveforms.name: windows})[0]
        return found

    return call


RUNTIMES: dict[RuntimeName, Runtime] = {
    "keras": Runtime(("keras", "tensorflow"), MODEL_FILE, _keras_accepts, _keras_compiled),
    "onnx": Runtime(("onnxruntime",), ONNX_FILE, _onnx_accepts, _onnx_compiled),
}


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _keras() -> tuple[Any, Any]:
    """Keras and TensorFlow, imported when first needed: the contract alone costs nobody a second and 500 MB."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras  # noqa: PLC0415
    import tensorflow  # noqa: PLC0415

    return keras, tensorflow
