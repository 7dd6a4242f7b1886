"""The service that one would write first: FastAPI, librosa, `model.predict`. What ours is compared with.

It has the artifact's model, with the front end inside, and the same windows, so that the two give the same logits;
only how they get there differs. Run it with ``python -m benchmarks.obvious ARTIFACT_FOLDER``.
"""

import argparse
import os
from pathlib import Path
from typing import Any, BinaryIO, Literal

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import librosa
import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile

from model_store import windows
from model_store.manifest import MODEL_FILE
from model_store.store import read_manifest

Call = Literal["predict", "predict_on_batch"]


class ObviousDetector:
    """An artifact's model, called as Keras' guides do.

    Parameters
    ----------
    folder : Path
        Of the artifact.
    call : ``predict``, which the guides begin with, or ``predict_on_batch``
    """

    def __init__(self, folder: Path, *, call: Call = "predict") -> None:
        self.manifest = read_manifest(folder)
        self.model = keras.saving.load_model(folder / MODEL_FILE, compile=False)
        self.call = call

    def logits(self, file: BinaryIO) -> list[float]:
        """The logits of an audio file's windows."""
        shape = self.manifest.input
        waveform, _ = librosa.load(file, sr=shape.sample_rate)
        part, _ = windows.trim(waveform, below_db=shape.trim_below_db)
        batch = windows.cut(part, window_samples=shape.window_samples, hop_samples=shape.hop_samples)
        logits = self.model.predict(batch, verbose=0) if self.call == "predict" else self.model.predict_on_batch(batch)
        return [float(logit) for logit in logits]


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
