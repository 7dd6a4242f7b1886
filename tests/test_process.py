"""python -m service, as a process: how it starts, what it writes, how it ends."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from tests.artifacts import copy_version
from tests.signals import clip, speech

ROOT = Path(__file__).parent.parent
CLIP = clip(speech(seconds=2, sample_rate=8_000), sample_rate=8_000)


def environment(**settings: object) -> dict[str, str]:
    """For a store that tests have made, unless `settings` says otherwise."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BONAFIDE_")}
    given = {"models": "simple_cnn", **settings}
    return kept | {f"BONAFIDE_{name.upper()}": str(value) for name, value in given.items()}


def run(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    """A service that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=environment(**{"port": 0, **settings}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Service:
    """A process, its standard output, and where it listens."""

    def __init__(self, process: "subprocess.Popen[bytes]", out: Path) -> None:
        self.process, self.out = process, out

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text(encoding="utf-8").splitlines()]

    def url(self) -> str:
        patience = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", self.out.read_text(encoding="utf-8"))):
            assert self.process.poll() is None, self.out.read_text(encoding="utf-8")
            assert time.monotonic() < patience, "it does not listen"
            time.sleep(0.02)
        return found[0]


@contextmanager
def started(folder: Path, **settings: object) -> Iterator[Service]:
    out = folder / "stdout"
    with out.open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=ROOT,
            env=environment(**{"port": 0, **settings}),
            stdout=stdout,
            stderr=stderr,
        )
        try:
            yield Service(process, out)
        finally:
            process.kill()
            process.wait()


def test_it_serves_logs_drains_and_ends(store: Path, tmp_path: Path) -> None:
    batch = [("files", ("secret-name.wav", CLIP))] * 100
    with (
        started(tmp_path, store=store, threads=2, drain_seconds=1.5) as service,
        httpx.Client(base_url=service.url(), trust_env=False, timeout=60) as client,
        ThreadPoolExecutor() as pool,
    ):
        assert client.get("/health/live").status_code == 200
        while (answer := client.get("/health/ready")).status_code != 200:
            assert answer.json()["code"] == "not_ready"
            time.sleep(0.05)
        first = client.post("/detect?model=simple_cnn", files={"file": ("secret-name.wav", CLIP)})

        in_work = pool.submit(client.post, "/batch", files=batch)
        time.sleep(0.1)
        service.process.send_signal(signal.SIGTERM)
        patience = time.monotonic() + 1
        while client.get("/health/ready").status_code != 503:
            assert time.monotonic() < patience, "it is still ready"
        assert client.post("/detect", content=CLIP).status_code == 200  # the port is open, and answers
        assert all(item["result"] for item in in_work.result().json()["results"])
        assert service.process.wait(20) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{client.base_url}/health/live", trust_env=False)

        lines = service.lines()  # each is JSON
        assert {(line["logger"], line["message"]) for line in lines} >= {("bonafide", "ready"), ("bonafide", "request")}
        [line] = [line for line in lines if line.get("request_id") == first.headers["X-Request-ID"]]
        assert (line["route"], line["status"], line["model"]) == ("/detect", 200, "simple_cnn@1")
        written = service.out.read_text() + (tmp_path / "stderr").read_text()
        assert "secret-name" not in written
        assert "model=simple_cnn" not in written
        assert "Traceback" not in written


def test_a_second_signal_ends_it_at_once(store: Path, tmp_path: Path) -> None:
    with started(tmp_path, store=store, drain_seconds=60) as service:
        url = service.url()
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert httpx.get(f"{url}/health/live", trust_env=False).status_code == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(2) == 1


@contextmanager
def loaded(url: str, *, connections: int) -> Iterator[tuple[Callable[[], "list[list[str]]"], Event]]:
    """Clients that send clip after clip, each until told to stop or until nobody listens; and what came of each."""
    stop = Event()

    def ask() -> list[str]:
        found = []
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            while not stop.is_set():
                try:
                    found.append(str(client.post("/detect", content=CLIP).status_code))
                except httpx.ConnectError:  # it was not taken
                    break
                except httpx.TransportError:
                    found.append("lost")
                    break
        return found

    with ThreadPoolExecutor(connections) as pool:
        asking = [pool.submit(ask) for _ in range(connections)]
        try:
            yield (lambda: [each.result() for each in asking]), stop
        finally:
            stop.set()


def wait_until_ready(service: Service) -> None:
    url = service.url()
    while httpx.get(f"{url}/health/ready", trust_env=False).status_code != 200:
        assert service.process.poll() is None
        time.sleep(0.02)


def test_told_to_stop_under_load_it_loses_nothing(store: Path, tmp_path: Path) -> None:
    with started(tmp_path, store=store, runtime="onnx", threads=2, drain_seconds=0.3) as service:
        wait_until_ready(service)
        with loaded(service.url(), connections=4) as (outcomes, _):
            time.sleep(1)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(60) == 0
            found = outcomes()
    assert {outcome for each in found for outcome in each} == {"200"}
    assert min(map(len, found)) >= 1


def test_killed_under_load_it_loses_what_was_in_work_and_no_more(store: Path, tmp_path: Path) -> None:
    with started(tmp_path, store=store, runtime="onnx", threads=2) as service:
        wait_until_ready(service)
        with loaded(service.url(), connections=4) as (outcomes, _):
            time.sleep(1)
            service.process.kill()
            found = outcomes()
    assert all(set(each[:-1]) <= {"200"} for each in found)
    assert 1 <= [each[-1] for each in found].count("lost") <= 4  # one for each that was asking


def test_a_signal_has_it_look_at_the_store(store: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(store, tmp_path / "store"))
    with started(tmp_path, store=root, runtime="onnx", threads=1, store_poll_seconds=0) as service:
        wait_until_ready(service)
        copy_version(root, "simple_cnn@1", "simple_cnn@2")
        with httpx.Client(base_url=service.url(), trust_env=False, timeout=60) as client:

            def version() -> int:
                return int(client.post("/detect", content=CLIP).json()["model"]["version"])

            time.sleep(0.3)
            assert version() == 1  # it does not look by itself
            service.process.send_signal(signal.SIGHUP)
            patience = time.monotonic() + 60
            while version() != 2:
                assert time.monotonic() < patience, "it has not looked"
        changed = [line for line in service.lines() if line["message"] == "models changed"]
        assert [line["models"] for line in changed] == [["simple_cnn@2"]]


def critical(done: "subprocess.CompletedProcess[str]") -> str:
    """The one sentence with which a start failed."""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    [line] = [line for line in lines if line["level"] in ("ERROR", "CRITICAL")]
    assert "exc_info" not in line
    assert "Traceback" not in done.stderr
    return str(line["message"])


def test_a_store_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    done = run(store=tmp_path / "nowhere")
    assert done.returncode == 1
    assert re.fullmatch(r"cannot start: The store has .* Received: 'simple_cnn'\.", critical(done))


def test_a_flipped_bit_stops_the_start(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    model = tmp_path / "store" / "other_cnn" / "1" / "model.keras"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    done = run(store=tmp_path / "store", models="other_cnn")
    assert done.returncode == 1
    assert re.fullmatch(r"cannot start: .* SHA-256 .* Received: .*other_cnn/1/model\.keras .*", critical(done))


def test_a_setting_out_of_range_stops_the_start() -> None:
    done = run(threads=0)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"cannot start: BONAFIDE_THREADS: .* Received: '0'\.\n", done.stderr)


def test_a_setting_that_is_none_is_told(store: Path, tmp_path: Path) -> None:
    with started(tmp_path, store=store, runtime="onnx", key="secret.json") as service:
        wait_until_ready(service)
        told = [line["message"] for line in service.lines() if line["level"] == "WARNING"]
    assert "A variable BONAFIDE_* is a setting (--help has them). Received: BONAFIDE_KEY, which is ignored." in told


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(store=tmp_path, port=taken.getsockname()[1])
    assert done.returncode == 3  # uvicorn's; 1 would be for the store
    assert "address already in use" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_help_needs_no_store() -> None:
    done = run("--help", store="/nowhere")
    assert done.returncode == 0
    assert "BONAFIDE_STORE" in done.stdout
