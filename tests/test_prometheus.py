"""A real scrape: `python -m service` and the prometheus binary, with the deployed configuration, rules and dashboard.

Replaced are the target's address and the intervals, so that a minute's history takes seconds.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from model_store.labels import set_label
from model_store.store import Store
from service import keys
from tests.artifacts import copy_version
from tests.serving import serving
from tests.signals import clip, speech
from tests.test_deploy import PROMETHEUS, ROOT, RULES, expressions

VOICE = clip(speech(seconds=1.5, sample_rate=8_000), sample_rate=8_000)
SILENCE = clip(np.zeros(12_000), sample_rate=8_000)
PATIENCE_SECONDS = 90

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus here (Debian: prometheus)")


@contextmanager
def running(*command: str | Path, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is told to stop at the end, and has to."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BONAFIDE_")} | environment
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output) as process,
    ):
        try:
            yield process
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(client: httpx.Client, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < patience, f"{path} is not there: {log.read_text()}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def service(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the service as it is deployed: a process of its own."""
    folder, port = tmp_path_factory.mktemp("service"), free_port()
    log, root = folder / "log", Path(shutil.copytree(store, folder / "store"))
    copy_version(root, "simple_cnn@1", "simple_cnn@2")
    Store(root).pin("simple_cnn", 1)
    set_label(Store(root), "shadow", "simple_cnn@2", share=1.0)
    settings = {"BONAFIDE_STORE": str(root), "BONAFIDE_PORT": str(port), "BONAFIDE_MODELS": "simple_cnn"}
    with (
        running(sys.executable, "-m", "service", log=log, **settings) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        wait_for(client, "/health/ready", process, log)
        yield client


@contextmanager
def scraping(service: httpx.Client, folder: Path) -> Iterator[httpx.Client]:
    """A client of a Prometheus that scrapes a service each second, with the key in the folder."""
    port = free_port()
    config = (PROMETHEUS / "prometheus.yml").read_text()
    (folder / "key").touch()
    replaced = {
        "bonafide:8000": service.base_url.netloc.decode(),
        "15s": "1s",
        "/etc/bonafide/metrics/": f"{folder}/",
    }
    for deployed, here in replaced.items():
        assert deployed in config
        config = config.replace(deployed, here)
    (folder / "prometheus.yml").write_text(config)
    (folder / "rules.yml").write_text((PROMETHEUS / "rules.yml").read_text().replace("interval: 1m", "interval: 1s"))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (
        running(*command, log=folder / "log") as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        wait_for(client, "/-/ready", process, folder / "log")
        yield client


@pytest.fixture(scope="module")
def prometheus(service: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with scraping(service, tmp_path_factory.mktemp("prometheus")) as client:
        yield client


def ask(prometheus: httpx.Client, query: str) -> list[tuple[dict[str, str], float]]:
    """The labels and values that a query answers with now."""
    answer = prometheus.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", (query, answer)
    if answer["data"]["resultType"] == "scalar":
        return [({}, float(answer["data"]["result"][1]))]
    return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]


def numbers(prometheus: httpx.Client, query: str) -> list[float]:
    return [value for _, value in ask(prometheus, query) if np.isfinite(value)]


def send_one_of_each(service: httpx.Client) -> None:
    """Each verdict, a refusal, and a batch."""
    for threshold, verdict in ((-1e6, "bonafide"), (1e6, "spoof")):
        answer = service.post("/detect", content=VOICE, params={"threshold": threshold})
        assert answer.json()["verdict"] == verdict
    assert service.post("/detect", content=SILENCE).json()["verdict"] == "inconclusive"
    assert service.post("/detect", content=b"not audio").status_code == 415
    assert service.post("/batch", files=[("files", ("a.wav", VOICE))] * 2).status_code == 200


def test_every_panel_shows_numbers_for_what_was_sent(service: httpx.Client, prometheus: httpx.Client) -> None:
    alerts = {rule["alert"] for rule in RULES if "alert" in rule}
    missing = {(where, query) for where, query in expressions() if where not in alerts | {"Starts"}}
    patience = time.monotonic() + PATIENCE_SECONDS
    while missing:
        assert time.monotonic() < patience, f"no number for {sorted(missing)}"
        send_one_of_each(service)
        time.sleep(0.5)
        missing = {(where, query) for where, query in missing if not numbers(prometheus, query)}

    rate = 'sum by (le) (rate(bonafide_request_seconds_bucket{route="/detect", status="200"}[1m]))'
    (median,) = numbers(prometheus, f"histogram_quantile(0.5, {rate})")
    assert 0 < median < 10
    verdicts = {labels["verdict"]: value for labels, value in ask(prometheus, "bonafide_verdicts_total")}
    assert verdicts.keys() == {"bonafide", "spoof", "inconclusive"}
    shares = {labels["verdict"]: value for labels, value in ask(prometheus, "bonafide:verdict_share:1h")}
    assert sum(shares.values()) == pytest.approx(1)
    assert ask(prometheus, 'sum(bonafide_errors_total{code="unsupported_format"})')[0][1] >= 1
    assert {labels["reason"] for labels, _ in ask(prometheus, "bonafide_inconclusive_total")} >= {"silence"}


def test_every_rule_is_evaluated_without_an_error(prometheus: httpx.Client) -> None:
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
        rules: list[dict[str, Any]] = [rule for group in groups for rule in group["rules"]]
        if all(rule["health"] != "unknown" for rule in rules):
            break
        assert time.monotonic() < patience
        time.sleep(0.2)
    assert len(rules) == len(RULES)
    assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] != "ok"} == {}
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []


def test_a_query_without_an_answer_is_told_from_one_with(prometheus: httpx.Client) -> None:
    assert ask(prometheus, "bonafide_ready") != []
    assert ask(prometheus, "bonafide_redy") == []
    with pytest.raises(AssertionError, match="parse error"):
        ask(prometheus, "sum(bonafide_ready")


def test_a_service_with_keys_is_scraped_with_the_key_in_the_file(store: Path, tmp_path: Path) -> None:
    _, key = keys.make(tmp_path / "keys.json", client="prometheus", scopes=("metrics",))

    def wait_until_up(expected: float) -> None:
        patience = time.monotonic() + PATIENCE_SECONDS
        while numbers(client, 'up{job="bonafide"}') != [expected]:
            assert time.monotonic() < patience
            time.sleep(0.2)

    with (
        serving(store, runtime="onnx", keys=tmp_path / "keys.json") as service,
        scraping(service, tmp_path) as client,
    ):
        wait_until_up(0)  # the file is empty
        (tmp_path / "key").write_text(f"{key}\n")
        wait_until_up(1)
