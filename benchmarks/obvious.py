"""The service that one would write first: FastAPI, librosa, `model.predict`. What ours is compared with.

It has the same weights, the same windows and the same features as the artifact, so that the two give the same
logits; only how they get there differs. Run it with ``python -m benchmarks.obvious ARTIFACT_FOLDER``.
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
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI, UploadFile

from model_store import windows
from model_store.manifest import MODEL_FILE
from model_store.store import read_manifest
from training import front_ends
from training.config import Config, FrontEndConfig

Floats = npt.NDArray[np.float32]
Call = Literal["predict", "predict_on_batch"]


class ObviousDetector:
    """An artifact's weights behind features that librosa computes.

    Parameters
    ----------
    folder : Path
        Of the artifact.
    call : ``predict``, which Keras' guides begin with, or ``predict_on_batch``
    """

    def __init__(self, folder: Path, *, call: Call = "predict") -> None:
        self.manifest = read_manifest(folder)
        self.front_end = Config.model_validate(self.manifest.training).front_end
        model = keras.saving.load_model(folder / MODEL_FILE, compile=False)
        self.filterbank: Floats = model.get_layer(front_ends.FILTERBANK).get_weights()[0]
        self.model = behind_front_end(model)
        self.call = call

    def logits(self, file: BinaryIO) -> list[float]:
        """The logits of an audio file's windows."""
        shape = self.manifest.input
        waveform, _ = librosa.load(file, sr=shape.sample_rate)
        part, _ = windows.trim(waveform, below_db=shape.trim_below_db)
        cut = windows.cut(part, window_samples=shape.window_samples, hop_samples=shape.hop_samples)
        batch = np.stack(
            [features(window, self.front_end, self.filterbank, sample_rate=shape.sample_rate) for window in cut]
        )
        logits = self.model.predict(batch, verbose=0) if self.call == "predict" else self.model.predict_on_batch(batch)
        return [float(logit) for logit in logits]


def features(window: Floats, config: FrontEndConfig, filterbank: Floats, *, sample_rate: int) -> Floats:
    """What `training.front_ends.front_end` computes inside the model, with librosa: (frames, bands, 1)."""
    frame_samples = round(config.frame_seconds * sample_rate)
    spectrum: dict[str, Any] = {
        "y": window / (np.sqrt(np.mean(np.square(window))) + 1e-7),
        "n_fft": config.fft_samples,
        "hop_length": round(config.step_seconds * sample_rate),
        "win_length": frame_samples,
        "window": "hann",
        "center": False,
    }
    if config.scale == "mel":
        power = librosa.feature.melspectrogram(
            **spectrum, sr=sample_rate, n_mels=config.bands, fmin=config.min_hz, fmax=config.max_hz
        )
    else:
        power = filterbank.T @ np.abs(librosa.stft(**spectrum)) ** 2
    frame_power = 0.375 * frame_samples * filterbank.sum(axis=0).mean()
    logarithm = np.log(power / frame_power + front_ends._RELATIVE_FLOOR)
    mean = logarithm.mean(axis=None if config.normalise == "clip" else 1, keepdims=True)
    return np.asarray((logarithm - mean).T[..., None], np.float32)


def behind_front_end(model: keras.Model) -> keras.Model:
    """The part of an artifact's model that takes features, (batch, frames, bands, 1)."""
    names = [operation.name for operation in model.operations]
    after = model.operations[names.index(front_ends.FILTERBANK) :]
    last = next(operation for operation in after if type(operation).__name__ == "ExpandDims")
    return keras.Model(last.output, model.output)


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
