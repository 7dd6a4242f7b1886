"""The service that one would write first: FastAPI, librosa, `model.predict`. What ours is compared with.

It has the artifact's model, with the front end inside, and the same windows, so that the two give the same logits;
only how they get there differs. Run it with ``python -m benchmarks.obvious ARTIFACT_FOLDER``.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import librosa
import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI, UploadFile

from model_store import windows
from model_store.manifest import MODEL_FILE, Input
from model_store.store import read_manifest

Call = Literal["predict", "predict_on_batch"]


def windows_of(file: BinaryIO, shape: Input) -> npt.NDArray[np.float32]:
    """An audio file -> its windows (k, window_samples), by librosa."""
    waveform, _ = librosa.load(file, sr=shape.sample_rate)
    part, _ = windows.trim(waveform, below_db=shape.trim_below_db)
    return windows.cut(part, window_samples=shape.window_samples, hop_samples=shape.hop_samples)


class ObviousDetector:
    """An artifact's model, called as Keras' guides do.

    Parameters
    ----------
    folder : Path
        Of the artifact.
    call : ``predict``, which the guides begin with, or ``predict_on_batch``
    """

    def __init__(self, folder: Path, *, call: Call = "predict") -> None:
        import keras  # noqa: PLC0415 (engines with processes that only decode share this module)

        self.manifest = read_manifest(folder)
        self.model = keras.saving.load_model(folder / MODEL_FILE, compile=False)
        self.call = call

    def logits(self, file: BinaryIO) -> list[float]:
        """The logits of an audio file's windows."""
        return self.of_windows([windows_of(file, self.manifest.input)])[0]

    def of_windows(self, clips: Sequence[npt.NDArray[np.float32]]) -> list[list[float]]:
        """The logits of several clips' windows, in one call."""
        batch = np.concatenate(clips)
        logits = self.model.predict(batch, verbose=0) if self.call == "predict" else self.model.predict_on_batch(batch)
        ends = np.cumsum([len(clip) for clip in clips])
        return [part.tolist() for part in np.split(np.asarray(logits), ends[:-1])]


def create_app(folder: Path, *, call: Call = "predict") -> FastAPI:
    """The whole service."""
    app = FastAPI()
    detector = ObviousDetector(folder, call=call)
    output = detector.manifest.output
    calibration = output.calibration["wideband"]
    threshold = output.operating_points["balanced"].threshold

    @app.post("/detect")
    def detect(file: UploadFile) -> dict[str, Any]:
        logits = detector.logits(file.file)
        score = calibration.slope * float(np.mean(logits)) + calibration.intercept
        return {"verdict": "bonafide" if score >= threshold else "spoof", "score": score, "logits": logits}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def main() -> None:
    """Serve on the loopback, with one worker."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.obvious", description=__doc__)
    parser.add_argument("artifact", type=Path, help="folder of the artifact")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--call", choices=("predict", "predict_on_batch"), default="predict")
    arguments = parser.parse_args()
    uvicorn.run(create_app(arguments.artifact, call=arguments.call), host="127.0.0.1", port=arguments.port)


if __name__ == "__main__":
    main()
