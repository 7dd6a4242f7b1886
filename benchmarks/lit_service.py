"""LitServe with our model, as its documentation would have one write it: librosa, `predict_on_batch`, a worker a core.

Its batches take what is waiting (``batch_timeout=0``, the default), as ours do. Run it with
``python -m benchmarks.lit_service ARTIFACT_FOLDER``.
"""

import argparse
from pathlib import Path

import litserve
import numpy as np
import numpy.typing as npt

from model_store.cores import available_cores

_MOST_CLIPS = 8  # in a call


class DetectorAPI(litserve.LitAPI):  # type: ignore[misc]
    """A clip in the field `file`, answered with its logits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(max_batch_size=_MOST_CLIPS, api_path="/detect")
        self.folder = folder

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        from benchmarks import obvious  # noqa: PLC0415 (in the workers alone)

        self.windows_of = obvious.windows_of
        self.detector = obvious.ObviousDetector(self.folder, call="predict_on_batch")

    def decode_request(self, request) -> npt.NDArray[np.float32]:  # type: ignore[no-untyped-def]  # it reads the type
        return self.windows_of(request["file"].file, self.detector.manifest.input)

    def batch(self, inputs: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        return inputs  # clips differ in how many windows they have

    def predict(self, x: list[npt.NDArray[np.float32]]) -> list[list[float]]:
        return self.detector.of_windows(x)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        return {"logits": output}


def main() -> None:
    """Serve on the loopback."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lit_service", description=__doc__)
    parser.add_argument("artifact", type=Path, help="folder of the artifact")
    parser.add_argument("--port", type=int, default=8002)
    arguments = parser.parse_args()
    server = litserve.LitServer(
        DetectorAPI(arguments.artifact), accelerator="cpu", workers_per_device=available_cores()
    )
    server.run(host="127.0.0.1", port=arguments.port, num_api_servers=1, generate_client_file=False)


if __name__ == "__main__":
    main()
