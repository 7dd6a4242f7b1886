"""Mosec with our model: an engine whose HTTP and batching are in Rust, its stages processes. It takes raw bodies.

One stage decodes with librosa, the next calls `predict_on_batch` on what waits. Run it with
``BENCHMARK_ARTIFACT=ARTIFACT_FOLDER python -m benchmarks.mosec_service --address 127.0.0.1 --port 8003``; the options
are Mosec's own.
"""

import io
import os
from pathlib import Path

import mosec
import numpy as np
import numpy.typing as npt

from benchmarks import obvious
from benchmarks.servers import MOSEC_ARTIFACT
from model_store.store import read_manifest

_MOST_CLIPS = 8  # in a call
_WAIT_MS = 1  # for more of them: the least that Mosec knows


class Decode(mosec.Worker):  # type: ignore[misc]
    """Bytes -> windows."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = read_manifest(Path(os.environ[MOSEC_ARTIFACT])).input

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> npt.NDArray[np.float32]:
        return obvious.windows_of(io.BytesIO(data), self.shape)


class Infer(mosec.Worker):  # type: ignore[misc]
    """Windows of several clips -> the logits of each."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = obvious.ObviousDetector(Path(os.environ[MOSEC_ARTIFACT]), call="predict_on_batch")

    def forward(self, data: list[npt.NDArray[np.float32]]) -> list[dict[str, list[float]]]:
        return [{"logits": logits} for logits in self.detector.of_windows(data)]


def main() -> None:
    """Serve."""
    server = mosec.Server()
    server.append_worker(Decode, route="/detect")
    server.append_worker(Infer, max_batch_size=_MOST_CLIPS, max_wait_time=_WAIT_MS, route="/detect")
    server.run()


if __name__ == "__main__":
    main()
