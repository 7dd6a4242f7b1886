"""Another version while requests come: taken up, handed over, and never at the cost of an answer."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from model_store.labels import remove_label, set_label
from model_store.store import Store
from service import shadow
from service.chain import AuditKey
from service.chain_check import verify
from service.registry import falls_within
from tests.artifacts import copy_version
from tests.serving import Client, serving
from tests.signals import clip, speech
from tests.test_overload import Stopped

CLIP = clip(speech(seconds=1.5, sample_rate=8_000), sample_rate=8_000)
SWITCHES = 20


@pytest.fixture
def root(store: Path, tmp_path: Path) -> Path:
    """simple_cnn@1, @2, which is the same, and @3, whose logits have the other sign; pinned to the first."""
    root = Path(shutil.copytree(store, tmp_path / "store"))
    copy_version(root, "simple_cnn@1", "simple_cnn@2")
    copy_version(root, "other_cnn@1", "simple_cnn@3")
    Store(root).pin("simple_cnn", 1)
    return root


@pytest.fixture
def client(root: Path) -> Iterator[Client]:
    with serving(root, store_poll_seconds=0.05, runtime="keras") as ready:
        yield ready


def wait_for(condition: Callable[[], bool]) -> None:
    patience = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < patience, "it has not come"
        time.sleep(0.02)


def roles(client: httpx.Client) -> list[tuple[str, int, float]]:
    return [(model["role"], model["version"], model["share"]) for model in client.get("/models").json()["models"]]


def test_switches_under_load_cost_no_answer(root: Path) -> None:
    stop = Event()
    with serving(root, store_poll_seconds=0.05, runtime="onnx") as client, ThreadPoolExecutor(2) as pool:

        def ask() -> list[tuple[int, int]]:
            found = []
            while not stop.is_set():
                answer = client.post("/detect", content=CLIP)
                found.append((answer.status_code, answer.json().get("model", {}).get("version")))
            return found

        asking = [pool.submit(ask) for _ in range(2)]
        for number in range(SWITCHES):
            version = 2 - number % 2
            Store(root).pin("simple_cnn", version)
            wait_for(lambda version=version: roles(client) == [("stable", version, 1.0)])
            answered = client.post("/detect", content=CLIP).json()["model"]["version"]
            assert answered == version
        stop.set()
        found = [one for each in asking for one in each.result()]
        metrics = client.get("/metrics").text
    assert {status for status, _ in found} == {200}
    assert {version for _, version in found} == {1, 2}
    assert f'bonafide_model_loads_total{{outcome="loaded"}} {SWITCHES + 1}.0' in metrics
    assert "bonafide_models_loaded 1.0" in metrics
    assert metrics.count("bonafide_model_info{") == 1


def test_a_request_keeps_the_version_that_it_came_to(
    client: Client, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        stopped = Stopped(monkeypatch)
        first = pool.submit(client.post, "/detect", content=CLIP)
        assert stopped.begun.wait(10)
        monkeypatch.undo()  # the probe of the next version is not held up
        Store(root).pin("simple_cnn", 2)
        wait_for(lambda: roles(client) == [("stable", 2, 1.0)])
        stopped.go_on.set()
        assert first.result().json()["model"]["version"] == 1
        assert client.post("/detect", content=CLIP).json()["model"]["version"] == 2


def test_a_store_that_breaks_is_told_and_serves_on(client: Client, root: Path) -> None:
    def state() -> tuple[str, str, list[str]]:
        models = client.get("/models").json()
        return client.get("/health/ready").json()["store"], models["store"], models["behind"]

    assert state() == ("current", "current", [])
    root.rename(root.parent / "gone")
    wait_for(lambda: state() == ("stale", "stale", ["simple_cnn"]))
    assert "bonafide_store_stale 1.0" in client.get("/metrics").text
    assert client.post("/detect", content=CLIP).json()["model"]["version"] == 1
    (root.parent / "gone").rename(root)
    wait_for(lambda: state() == ("current", "current", []))
    (root / "simple_cnn" / "2" / "model.keras").write_bytes(b"cut off")
    (root / "simple_cnn" / "pinned").write_text("2")  # by a hand that does not ask whether it verifies
    wait_for(lambda: state() == ("stale", "stale", ["simple_cnn@2"]))
    assert client.post("/detect", content=CLIP).json()["model"]["version"] == 1
    assert 'bonafide_model_loads_total{outcome="failed"} 1.0' in client.get("/metrics").text
    Store(root).rollback("simple_cnn")
    wait_for(lambda: state() == ("current", "current", []))


def test_a_canary_answers_its_share(client: Client, root: Path) -> None:
    set_label(Store(root), "canary", "simple_cnn@2", share=0.5)
    wait_for(lambda: roles(client) == [("stable", 1, 0.5), ("canary", 2, 0.5)])
    for number in range(12):
        given = f"call-{number}"
        answer = client.post("/detect", content=CLIP, headers={"X-Request-ID": given})
        assert answer.json()["model"]["version"] == (2 if falls_within(0.5, "canary", given) else 1)
    named = [client.post(f"/detect?model=simple_cnn@{name}", content=CLIP) for name in ("stable", "canary", "2")]
    assert [answer.json()["model"]["version"] for answer in named] == [1, 2, 2]
    assert 'bonafide_model_share{family="simple_cnn",role="canary",version="2"} 0.5' in client.get("/metrics").text
    remove_label(Store(root), "canary", "simple_cnn")
    wait_for(lambda: roles(client) == [("stable", 1, 1.0)])


# Shadows


def shadowed(client: Client, outcome: str) -> float:
    counter = client.app.state.telemetry.shadow_clips.labels("simple_cnn", "3", outcome)
    return float(counter._value.get())


def test_a_shadow_is_scored_and_tells_nobody(root: Path, tmp_path: Path) -> None:
    set_label(Store(root), "shadow", "simple_cnn@3", share=1.0)
    (tmp_path / "trail").mkdir()
    (tmp_path / "key").write_bytes(bytes(range(32)))
    trail = {"audit_dir": tmp_path / "trail", "audit_key_file": tmp_path / "key"}
    with serving(root, models="simple_cnn,other_cnn", **trail) as client:
        assert roles(client)[-1] == ("shadow", 3, 1.0)
        assert client.post("/detect?model=simple_cnn@3", content=CLIP).status_code == 404
        candidate = client.post("/detect?model=other_cnn", content=CLIP).json()["score"]
        assert shadowed(client, "scored") == 0  # that family has none
        live = client.post("/detect", content=CLIP).json()
        assert live["model"]["version"] == 1
        wait_for(lambda: shadowed(client, "scored") == 1)
        telemetry = client.app.state.telemetry
        difference = telemetry.shadow_difference.labels("simple_cnn", "3")._sum.get()
        assert difference == pytest.approx(candidate - live["score"], abs=1e-3)
        assert abs(difference) > 0.01
        metrics = client.get("/metrics").text
        assert f'bonafide_shadow_verdicts_total{{family="simple_cnn",live="{live["verdict"]}",shadow="' in metrics
        assert 'bonafide_verdicts_total{family="simple_cnn",version="3"' not in metrics
        batch = client.post("/batch", files={"files": CLIP}).json()["results"][0]["result"]
        assert batch["score"] == pytest.approx(live["score"], abs=1e-4)
        wait_for(lambda: shadowed(client, "scored") == 2)
    [path] = (tmp_path / "trail").glob("*.jsonl")
    assert verify([path], AuditKey.read(tmp_path / "key")).lines == 1 + 3
    assert '"version":3' not in path.read_text().replace(" ", "")


def test_a_shadow_is_dropped_when_others_need_the_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_label(Store(root), "shadow", "simple_cnn@3", share=1.0)
    with serving(root) as client:
        admission = client.app.state.admission
        with admission.place(0), admission.place(0):
            assert client.post("/detect", content=CLIP).status_code == 200
        assert shadowed(client, "dropped") == 1
        long = clip(speech(seconds=61, sample_rate=8_000), sample_rate=8_000)
        assert client.post("/detect", content=long).status_code == 200
        assert shadowed(client, "dropped") == 2
        assert shadowed(client, "scored") == 0


def test_shadows_are_few_and_wait_for_so_long(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_label(Store(root), "shadow", "simple_cnn@3", share=1.0)
    go_on, usual = Event(), shadow.decoded

    def held(*arguments: Any) -> Any:
        assert go_on.wait(30)
        return usual(*arguments)

    monkeypatch.setattr(shadow, "decoded", held)
    with serving(root) as client:
        for _ in range(6):
            assert client.post("/detect", content=CLIP).status_code == 200
        assert shadowed(client, "dropped") == 2
        go_on.set()
        wait_for(lambda: shadowed(client, "scored") == 4)
        assert client.post("/detect", content=CLIP).status_code == 200  # there is room again
        wait_for(lambda: shadowed(client, "scored") == 5)
        go_on.clear()
        monkeypatch.setattr(shadow, "_PATIENCE_SECONDS", 0.1)
        assert client.post("/detect", content=CLIP).status_code == 200
        wait_for(lambda: shadowed(client, "dropped") == 3)
        go_on.set()
    assert shadowed(client, "scored") == 5


def test_a_shadow_that_fails_does_so_in_silence(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_label(Store(root), "shadow", "simple_cnn@3", share=1.0)
    with serving(root) as client:
        [*_, (role, model, _)] = client.app.state.registry.roles()
        assert role == "shadow"
        monkeypatch.setattr(model.detector, "_call", lambda windows: 1 / 0)
        assert client.post("/detect", content=CLIP).status_code == 200
        wait_for(lambda: shadowed(client, "failed") == 1)
        assert client.post("/detect", content=CLIP).status_code == 200
    assert "a shadow could not be scored" in caplog.text
