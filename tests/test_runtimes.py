"""One artifact, two runtimes: the same scores, and TensorFlow nowhere near the second."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest

from model_store.detector import Detector
from model_store.errors import InvalidArtifact, RuntimeMissing
from model_store.manifest import MODEL_FILE, ONNX_FILE
from model_store.runtimes import RUNTIMES
from model_store.store import Store, read_manifest
from service.app import create_app
from tests.serving import settings
from tests.test_process import CLIP, critical, run, started
from tests.test_speech import NOISE, voice
from training.publish import agree
from training.trials import Trial

VOICE = voice().astype(np.float32)


@pytest.fixture
def artifact(store: Path, tmp_path: Path) -> Path:
    """A copy of the artifact that has both files, to be damaged."""
    return Path(shutil.copytree(Store(store).resolve("simple_cnn"), tmp_path / "simple_cnn" / "1"))


def test_both_give_the_same_scores(store: Path) -> None:
    folder = Store(store).resolve("simple_cnn")
    clips = [VOICE, VOICE[:30_000], np.tile(VOICE, 5), VOICE + (0.02 * NOISE).astype(np.float32)]
    keras, onnx = (Detector.load(folder, runtime=name, callers=1).score(clips) for name in ("keras", "onnx"))
    assert np.allclose([s.logit for s in keras], [s.logit for s in onnx], atol=1e-4, rtol=2e-6)
    assert np.std([s.logit for s in keras]) > 1e-3
    assert [s.reasons for s in keras] == [s.reasons for s in onnx]


def test_threads_of_onnx_runtime_rest_between_calls(artifact: Path) -> None:
    windows = np.tile(VOICE[:32_000], (2, 1))[:, : read_manifest(artifact).input.window_samples]
    spinning = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(artifact / ONNX_FILE, spinning)
    ours = RUNTIMES["onnx"].compiled(artifact / ONNX_FILE, read_manifest(artifact), None)

    def busy_seconds(call: Callable[[], object]) -> float:
        """CPU time within 50 ms after a call, of all threads: the median."""
        found = []
        for _ in range(7):
            call()
            before = time.process_time()
            time.sleep(0.05)
            found.append(time.process_time() - before)
        return float(np.median(found))

    assert busy_seconds(lambda: ours(windows)) < 1e-3
    assert busy_seconds(lambda: session.run(None, {session.get_inputs()[0].name: windows})) > 1.5e-3  # if they may


def test_a_flipped_byte_of_either_file_is_refused_by_both(artifact: Path) -> None:
    for name in (MODEL_FILE, ONNX_FILE):
        path = artifact / name
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        for runtime in RUNTIMES:
            with pytest.raises(InvalidArtifact, match=rf"SHA-256 .* Received: .*{name}"):
                Detector.load(artifact, runtime=runtime)
        path.write_bytes(original)
    Detector.load(artifact, runtime="onnx")


def test_another_graph_under_a_right_hash_does_not_answer_the_probe(artifact: Path) -> None:
    import onnx  # noqa: PLC0415

    graph = onnx.load(artifact / ONNX_FILE)
    [logit] = graph.graph.output
    graph.graph.node.append(onnx.helper.make_node("Neg", [logit.name], ["other"]))
    logit.name = "other"
    manifest = json.loads((artifact / "manifest.json").read_text())
    for data, said in ((graph.SerializeToString(), "gives its probe the logit"), (b"no graph", "opens in the onnx")):
        (artifact / ONNX_FILE).write_bytes(data)
        manifest["files"][ONNX_FILE] = hashlib.sha256(data).hexdigest()
        (artifact / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(InvalidArtifact, match=said):
            Detector.load(artifact, runtime="onnx")
        Detector.load(artifact)  # Keras does not open it


def test_an_artifact_without_a_graph_is_refused_in_a_sentence(store: Path) -> None:
    folder = Store(store).resolve("other_cnn")
    assert ONNX_FILE not in read_manifest(folder).files
    with pytest.raises(InvalidArtifact, match=r"opens an artifact's model\.onnx\. Received: .*other_cnn/1, published"):
        Detector.load(folder, runtime="onnx")


def test_only_keras_asks_for_the_version_of_keras(artifact: Path) -> None:
    path = artifact / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"keras": "2.0.0"}))
    with pytest.raises(InvalidArtifact, match=r"saved by 2\.0\.0"):
        Detector.load(artifact)
    Detector.load(artifact, runtime="onnx")


def test_a_runtime_that_is_not_installed_is_named(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "onnx", replace(RUNTIMES["onnx"], packages=("no_such_runtime",)))
    with pytest.raises(RuntimeMissing, match="installed before it is asked for. Received: no_such_runtime"):
        Detector.load(artifact, runtime="onnx")


def test_runtimes_that_disagree_on_a_clip_stop_the_publishing() -> None:
    trials = [Trial("S", f"u{n}", None, "bonafide", float(n), "coded") for n in range(3)]
    agree(trials, [replace(trial, score=trial.score + 5e-5) for trial in trials])
    with pytest.raises(ValueError, match=r"± 0\.0001. Received: 2\.000000 and 2\.000200 for u2"):
        agree(trials, [*trials[:2], replace(trials[2], score=2.0002)])


def test_it_is_served_without_tensorflow(store: Path, tmp_path: Path) -> None:
    app = create_app(settings(store))
    assert app.state.settings.runtime == "keras"
    with started(tmp_path, store=store, threads=1, runtime="onnx") as service:
        with httpx.Client(base_url=service.url(), trust_env=False, timeout=60) as client:
            while client.get("/health/ready").status_code != 200:
                assert service.process.poll() is None
                time.sleep(0.02)
            answer = client.post("/detect", content=CLIP).json()
            [model] = client.get("/models").json()["models"]
        maps = Path(f"/proc/{service.process.pid}/maps")
        libraries = maps.read_text() if maps.exists() else "onnxruntime"
        assert "onnxruntime" in libraries
        assert "tensorflow" not in libraries
        [ready] = [line for line in service.lines() if line["message"] == "ready"]
        assert ready["runtime"] == "onnx"
    manifest = read_manifest(Store(store).resolve("simple_cnn"))
    assert answer["model"]["sha256"] == model["sha256"] == manifest.sha256
    code = (
        "import sys; from service.catalogue import Catalogue; from service.settings import Settings; "
        "from service.telemetry import Telemetry; "
        f"Catalogue(Settings(store={str(store)!r}, models='simple_cnn', runtime='onnx'), Telemetry()).refresh(); "
        "print(*[name in sys.modules for name in ('onnxruntime', 'tensorflow', 'keras')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "False", "False"]  # what is there would be seen


def test_onnx_runtime_tells_nobody_of_it(store: Path, tmp_path: Path) -> None:
    """Its telemetry begins with an id of the machine in the home folder. The library still knows what turns it off."""
    code = (
        "from pathlib import Path; from model_store.detector import Detector; "
        f"Detector.load(Path({str(Store(store).resolve('simple_cnn'))!r}), runtime='onnx', callers=1)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
    [library] = (Path(onnxruntime.__file__).parent / "capi").glob("onnxruntime_pybind11_state*")
    assert b"ORT_DISABLE_TELEMETRY\0" in library.read_bytes()


def test_a_start_that_cannot_be_says_why(store: Path) -> None:
    done = run(store=store, models="other_cnn", runtime="onnx")
    assert done.returncode == 1
    assert "published without one; the keras runtime opens it" in critical(done)
