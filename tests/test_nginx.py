"""The front: the real nginx with the deployed configuration, certificates by the deployed script, the app behind it.

Replaced are addresses and paths, and where a test says so, a limit. A guard is also taken away, to see what it holds.
"""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from model_store.signatures import TrustedKeys
from model_store.store import verify
from service.middleware import SECURITY_HEADERS
from service.problems import CODES, Problem
from service.settings import Settings
from tests.serving import Client, serving
from tests.signals import clip, speech
from tests.test_canary import CANARY, places, seen
from tests.test_prometheus import free_port

ROOT = Path(__file__).resolve().parents[1]
CONFIG = (ROOT / "deploy/nginx/nginx.conf").read_text()
OWN_CODES = {"missing_certificate": 403, "untrusted_certificate": 403}
CLIP = clip(speech(seconds=1.5, sample_rate=8_000), sample_rate=8_000)
LONG = clip(np.tile(speech(seconds=2, sample_rate=16_000), 50), sample_rate=16_000)  # 3.2 MB

pytestmark = [
    pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here (Debian: nginx-light)"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here"),
]


@pytest.fixture(scope="module")
def made(light_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the script makes: secrets/, and a store that it has signed."""
    root = tmp_path_factory.mktemp("made")
    (root / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/secrets.sh", root / "deploy")
    shutil.copytree(light_store, root / "store")
    for _ in range(2):  # the second time there is nothing left to do
        done = subprocess.run([root / "deploy/secrets.sh", "store"], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return root


@pytest.fixture(scope="module")
def upstream(made: Path) -> Iterator[Client]:
    """The app, which demands signatures and waits 3 s for a body."""
    trusted = made / "secrets/signing/trusted.pem"
    with serving(made / "store", models="light", runtime="onnx", signing_keys=trusted, body_seconds=3.0) as client:
        yield client


class Front:
    """A running nginx."""

    def __init__(self, folder: Path, secrets: Path, port: int) -> None:
        self.folder, self.secrets, self.port = folder, secrets, port

    def tls(self, certificate: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.secrets / "authority.pem"))
        if certificate is not None:
            context.load_cert_chain(self.secrets / f"{certificate}.pem", self.secrets / f"{certificate}.key")
        return context

    def client(self, certificate: str | None = "client") -> httpx.Client:
        url = f"https://localhost:{self.port}"
        return httpx.Client(base_url=url, verify=self.tls(certificate), timeout=60, trust_env=False)

    def connect(self) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return self.tls("client").wrap_socket(raw, server_hostname="localhost")


def configured(folder: Path, secrets: Path, *, port: int, upstream: int, replaced: dict[str, str]) -> Path:
    """The configuration as it is run here."""
    text = CONFIG
    usual = {
        "listen 8443": f"listen 127.0.0.1:{port}",
        "server bonafide:8000": f"server 127.0.0.1:{upstream}",
        "/etc/nginx/tls/": f"{secrets}/tls/",
        "/dev/stdout": f"{folder}/access.log",
        "error_log stderr": f"error_log {folder}/error.log",
        "/tmp/nginx": f"{folder}/nginx",  # noqa: S108 (in a container of its own)
    }
    for deployed, here in (usual | replaced).items():
        assert deployed in text, deployed
        text = text.replace(deployed, here)
    (folder / "nginx.conf").write_text(text)
    return folder / "nginx.conf"


@contextmanager
def running(folder: Path, secrets: Path, *, upstream: int, replaced: dict[str, str] | None = None) -> Iterator[Front]:
    folder.mkdir(exist_ok=True)
    port = free_port()
    path = configured(folder, secrets, port=port, upstream=upstream, replaced=replaced or {})
    command = ["nginx", "-c", str(path), "-g", "daemon off;"]
    with (folder / "output").open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            patience = time.monotonic() + 30
            while True:
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < patience
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield Front(folder, secrets, port)
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def front(made: Path, upstream: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """As it is deployed."""
    port = upstream.base_url.port or 0
    with running(tmp_path_factory.mktemp("front"), made / "secrets", upstream=port) as found:
        yield found


def check(answer: httpx.Response, status: int, code: str) -> None:
    """A problem of the front's own, in the service's shape, with what every answer has."""
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert list(problem) == list(Problem.model_fields)
    assert problem["status"] == status == {**{name: known[0] for name, known in CODES.items()}, **OWN_CODES}[code]
    assert problem["title"] == CODES.get(code, ("", problem["title"]))[1]
    assert problem["type"] == f"urn:bonafide:problem:{code}"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert answer.headers["Strict-Transport-Security"]


def test_the_configuration_is_one(made: Path, tmp_path: Path) -> None:
    def judged(**replaced: str) -> bool:
        path = configured(tmp_path, made / "secrets", port=1, upstream=1, replaced=replaced)
        return subprocess.run(["nginx", "-t", "-c", path], capture_output=True, check=False).returncode == 0

    assert judged()
    assert not judged(client_max_body_size="client_max_body_sise")


def test_what_the_script_makes_is_for_whom_it_should_be(made: Path) -> None:
    verify(made / "store/light/1", trusted=TrustedKeys.read(made / "secrets/signing/trusted.pem"))
    assert (made / "secrets").stat().st_mode & 0o777 == 0o700
    mounted = {path.name for folder in ("signing", "tls", "metrics") for path in (made / "secrets" / folder).iterdir()}
    assert mounted == {
        "trusted.pem",
        "server.pem",
        "server.key",
        "clients.pem",
        "key",
    }  # and no key that signs anything
    assert (made / "secrets/metrics/key").read_bytes() == b""


def script(root: Path, **programs: str) -> "subprocess.CompletedProcess[str]":
    """Run the script in a folder, with programs of ours before the system's."""
    for folder in ("deploy", "bin", "store"):
        (root / folder).mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy/secrets.sh", root / "deploy")
    for name, text in programs.items():
        (root / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (root / "bin" / name).chmod(0o755)
    path = f"{root / 'bin'}:{os.environ['PATH']}" if programs else os.environ["PATH"]
    return subprocess.run(
        [root / "deploy/secrets.sh", "store"],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_never_replaces_a_key_that_signs(tmp_path: Path) -> None:
    assert script(tmp_path).returncode == 0
    key, trusted = tmp_path / "secrets/signing.key", tmp_path / "secrets/signing/trusted.pem"
    before = key.read_bytes(), trusted.read_bytes()
    trusted.unlink()
    assert script(tmp_path).returncode == 0
    assert (key.read_bytes(), trusted.read_bytes()) == before


def test_a_script_that_fails_says_why_and_goes_on_the_next_time(tmp_path: Path) -> None:
    usual = shutil.which("openssl")
    faulty = f'case "$*" in *clientAuth*) echo no luck >&2; exit 1;; esac; exec {usual} "$@"'
    failed = script(tmp_path, openssl=faulty)
    assert (failed.returncode, failed.stderr) == (1, "no luck\n")
    assert script(tmp_path).returncode == 0
    made = {path.name for path in (tmp_path / "secrets").rglob("*.pem")}
    assert made == {"authority.pem", "client.pem", "clients.pem", "server.pem", "trusted.pem"}


def test_a_host_may_have_a_long_name(tmp_path: Path) -> None:
    name = f"{60 * 'a'}.somewhere.internal"
    done = script(tmp_path, hostname=f"echo {name}")
    assert done.returncode == 0, done.stderr
    command = ["openssl", "x509", "-noout", "-checkhost", name, "-in", tmp_path / "secrets/tls/server.pem"]
    assert "does match" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


# Client certificates


def test_a_client_needs_a_certificate(front: Front, made: Path) -> None:
    with front.client() as client:
        answer = client.post("/detect", content=CLIP)
        assert (answer.status_code, answer.json()["model"]["family"]) == (200, "light")
        assert answer.headers["Strict-Transport-Security"]
        assert client.post("/batch", files=[("files", CLIP)] * 3).status_code == 200
    with front.client(None) as client:
        for method, path in (("POST", "/detect"), ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/health/../models")):
            check(client.request(method, path), 403, "missing_certificate")
        assert client.get("/health/ready").status_code == 200  # for a balancer, which has none
        assert client.get("/health/elsewhere").status_code == 404
    config = made / "request.cnf"
    config.write_text("[req]\ndistinguished_name = name\n[name]\n")
    command = ["openssl", "req", "-x509", "-new", "-config", config, "-newkey", "ed25519", "-noenc", "-subj", "/CN=x"]
    files = ["-keyout", made / "secrets/own.key", "-out", made / "secrets/own.pem"]
    subprocess.run([*command, *files], capture_output=True, check=True)
    for certificate in ("own", "tls/server"):  # self-signed; and by the authority, but not for a client
        with front.client(certificate) as client:
            check(client.post("/detect", content=CLIP), 403, "untrusted_certificate")


def test_it_is_the_gate_that_asks_for_it(made: Path, upstream: Client, tmp_path: Path) -> None:
    opened = {"if ($refused) {": 'if ($refused = "never") {'}
    port = upstream.base_url.port or 0
    with (
        running(tmp_path / "open", made / "secrets", upstream=port, replaced=opened) as front,
        front.client(None) as one,
    ):
        assert one.post("/detect", content=CLIP).status_code == 200


# Its own answers


def test_its_own_answers_have_the_services_shape(front: Front, made: Path, tmp_path: Path) -> None:
    with front.client() as client:
        check(client.request("TRACE", "/detect"), 405, "method_not_allowed")
        check(client.get("/.problem"), 404, "not_found")
        check(client.get("/detect", headers={"X": "x" * 10_000}), 400, "malformed_request")
        check(client.get(f"/{'x' * 10_000}.html"), 400, "malformed_request")
        check(client.post("/detect", content=bytes(64 << 20) + b"1"), 413, "body_too_large")
        check(client.get("/detect", headers={"Host": "a b"}), 400, "malformed_request")
        upstreams = client.get("/nowhere", headers={"X-Request-ID": "mine-1"})
        assert (upstreams.status_code, upstreams.json()["request_id"]) == (404, "mine-1")
    plain = httpx.get(f"http://localhost:{front.port}/", trust_env=False)
    check(plain, 400, "malformed_request")
    with front.connect() as raw:
        raw.sendall(b"no HTTP at all\r\n\r\n")
        assert b'"code":"malformed_request"' in b"".join(iter(lambda: raw.recv(4096), b""))
    limits = {
        "rate=200r/s": "rate=1r/m",
        "burst=400": "burst=1",
        "client_max_body_size 64m": "client_max_body_size 1m",
    }
    with (
        running(tmp_path / "down", made / "secrets", upstream=free_port(), replaced=limits) as down,
        down.client() as client,
    ):
        check(client.post("/detect", content=iter([bytes(1 << 20)] * 2)), 503, "not_ready")
        check(client.post("/detect", content=CLIP), 503, "not_ready")
        check(client.post("/detect", content=bytes((1 << 20) + 1)), 413, "body_too_large")
        answer = client.post("/detect", content=CLIP)
        check(answer, 429, "rate_limited")
        assert answer.headers["Retry-After"] == "1"


def test_a_chunked_body_over_the_limit_is_refused(made: Path, upstream: Client, tmp_path: Path) -> None:
    port = upstream.base_url.port or 0
    smaller = {"client_max_body_size 64m": "client_max_body_size 1m"}
    with running(tmp_path / "small", made / "secrets", upstream=port, replaced=smaller) as front, front.client() as one:
        check(one.post("/detect", content=iter([bytes(1 << 18)] * 8)), 413, "body_too_large")


def test_both_take_bodies_of_one_size() -> None:
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", CONFIG)
    assert int(megabytes) << 20 == Settings.model_fields["max_body_bytes"].default


# Slow connections


def still_open(connections: list[socket.socket], *, seconds: float, drip: bytes) -> int:
    """How many are open after a while in which each is sent a little now and then."""
    ends, left = time.monotonic() + seconds, list(connections)
    while left and time.monotonic() < ends:
        for connection in list(left):
            connection.settimeout(0.001)
            try:
                if drip:
                    connection.sendall(drip)
                while connection.recv(4096):
                    pass
                left.remove(connection)  # ended in order
            except (TimeoutError, ssl.SSLWantReadError):
                pass
            except OSError:
                left.remove(connection)  # reset
        time.sleep(0.1)
    return len(left)


HEADER = b"GET /detect HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nRIFF"


@pytest.mark.parametrize(
    "case",
    [(HEADER, b"x", 2.0), (BODY, b"", 2.0), (BODY, b"x", 3.0)],
    ids=["header", "body that stops", "body that drips"],  # the last one is the app's to end
)
def test_a_hundred_slow_connections_are_closed(
    made: Path, upstream: Client, tmp_path: Path, case: tuple[bytes, bytes, float]
) -> None:
    begin, drip, deadline = case
    sooner = {f"client_{part}_timeout 10s": f"client_{part}_timeout 2s" for part in ("header", "body")}
    port = upstream.base_url.port or 0
    with ExitStack() as stack:
        front = stack.enter_context(running(tmp_path / "front", made / "secrets", upstream=port, replaced=sooner))
        slow = [stack.enter_context(front.connect()) for _ in range(100)]
        for connection in slow:
            connection.sendall(begin)
        time.sleep(0.5)  # a body that has begun is kept a place for half as long
        with front.client() as client:
            assert client.post("/detect", content=CLIP).status_code == 200  # others are served meanwhile
        assert still_open(list(slow), seconds=deadline + 20, drip=drip) == 0
        if begin is HEADER:  # without the front, nothing ends them
            bare = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(100)]
            for one in bare:
                one.sendall(begin)
            assert still_open(bare, seconds=deadline + 1, drip=drip) == 100


# What is kept of a request


def test_audio_never_touches_the_disk(made: Path, upstream: Client, tmp_path: Path) -> None:
    """With the folders for it gone, nginx cannot put anything there, and need not."""
    port = upstream.base_url.port or 0
    buffered = {"proxy_request_buffering off": "proxy_request_buffering on"}
    for name, replaced, status in (("deployed", {}, 200), ("buffered", buffered, 500)):
        with running(tmp_path / name, made / "secrets", upstream=port, replaced=replaced) as front:
            for folder in front.folder.glob("nginx-*"):
                assert list(folder.iterdir()) == []
                folder.rmdir()
            with front.client() as client:
                sent: list[dict[str, Any]] = [{"content": LONG}, {"content": iter([LONG])}, {"files": {"file": LONG}}]
                for request in sent:
                    answer = client.post("/detect", **request)
                    assert answer.status_code == status, name
                if status == 500:
                    check(answer, 500, "internal_error")


def test_nothing_that_a_caller_sends_is_in_the_logs(made: Path, upstream: Client, tmp_path: Path) -> None:
    word = CANARY.decode()
    up, down = upstream.base_url.port or 0, free_port()
    for name, port, replaced in (
        ("up", up, {}),
        ("down", down, {}),
        ("told", down, {"error.log crit": "error.log info"}),
    ):
        with running(tmp_path / name, made / "secrets", upstream=port, replaced=replaced) as front:
            with front.client() as client:
                headers = {"User-Agent": word, "Referer": word, "X-Request-ID": f"not an id {word}", "Cookie": word}
                client.post(f"/detect?{word}={word}", files={"file": (f"{word}.wav", CLIP)}, headers=headers)
                client.get(f"/{word}", headers=headers)
                client.get(f"/models/{word}/versions/1", headers={"Host": f"{word} x"})
                client.request(f"{word.upper().replace('-', '')}", "/detect")
            with front.connect() as raw:
                raw.sendall(b"GET /" + CANARY + b" no\r\n\r\n")
                raw.recv(100)
        lines = [json.loads(line) for line in (tmp_path / name / "access.log").read_text().splitlines()]
        assert [line["route"] for line in lines] == ["/detect", "other", "/models/*", "other", "other"]
        assert {line["status"] for line in lines} <= {200, 400, 404, 405, 503}
        assert (lines[0]["method"], lines[0]["client"], len(lines[0]["certificate"])) == ("POST", "127.0.0.1", 40)
        logs = ((path, content) for path, content in places(tmp_path / name) if path.endswith(".log"))
        assert bool(seen(logs)) == (name == "told")  # what another level would tell is seen
