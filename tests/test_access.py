"""Keys at the door: who is let in where, how often, and what is said and written of it."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from service import access, console, explain, keys, pages, status
from service.app import create_app
from service.routes import router
from service.telemetry import Telemetry
from tests.serving import Client, serving, settings
from tests.signals import clip, speech
from tests.test_problems import check

CLIP = clip(speech(seconds=1.5, sample_rate=8_000), sample_rate=8_000)
MODEL = "/models/simple_cnn/versions/1"


@dataclass
class Keyed:
    """A service with keys: one for each scope, of a client named after it."""

    client: Client
    path: Path
    texts: dict[str, str]

    def ask(self, method: str, path: str, key: str | None, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.texts[key]}"} if key else {}
        return self.client.request(method, path, headers=headers, **request)


@pytest.fixture(scope="module")
def keyed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    texts = {scope: keys.make(path, client=scope, scopes=(scope,))[1] for scope in keys.SCOPES}
    with serving(store, keys=path) as client:
        yield Keyed(client, path, texts)


def change(path: Path, **values: Any) -> None:
    """Edit the file, as an operator would."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


REQUESTS: dict[str, tuple[str, str, dict[str, Any], set[str]]] = {  # and the scopes that open it
    "detect": ("POST", "/detect", {"content": CLIP}, {"detect", "admin"}),
    "batch": ("POST", "/batch", {"files": {"files": CLIP}}, {"batch", "admin"}),
    "explain": ("POST", "/explain", {"content": CLIP}, {"detect", "admin"}),
    "waveform": ("POST", "/waveform", {"content": CLIP}, {"detect", "admin"}),
    "metrics": ("GET", "/metrics", {}, {"metrics", "admin"}),
    "models": ("GET", "/models", {}, set(keys.SCOPES)),
    "model": ("GET", MODEL, {}, set(keys.SCOPES)),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_route_opens_to_its_scope(keyed: Keyed, name: str) -> None:
    method, path, request, opens = REQUESTS[name]
    for scope in keys.SCOPES:
        answer = keyed.ask(method, path, scope, **request)
        if scope in opens:
            assert answer.status_code == 200, answer.text
        else:
            assert f"Received: {scope}." in check(answer, "missing_scope")["detail"]
            [asked] = opens - {"admin"}
            assert f'error="insufficient_scope", scope="{asked}"' in answer.headers["WWW-Authenticate"]
    answer = keyed.ask(method, path, None, **request)
    check(answer, "missing_key")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="bonafide"'


def test_either_header_will_do(keyed: Keyed) -> None:
    text = keyed.texts["detect"]
    for headers in ({"X-API-Key": text}, {"Authorization": f"bearer {text}"}):
        assert keyed.client.post("/detect", content=CLIP, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("header", "sent", "code"),
    [
        ("X-API-Key", "secret-wrong", "invalid_key"),
        ("X-API-Key", "0" * 16 + "." + "A" * 43, "invalid_key"),
        ("Authorization", "Bearer secret-wrong", "invalid_key"),
        ("Authorization", "Bearer", "missing_key"),
        ("Authorization", "Basic secret-wrong", "missing_key"),
        ("X-API-Key", "", "missing_key"),
    ],
)
def test_a_wrong_key_is_refused(keyed: Keyed, header: str, sent: str, code: str) -> None:
    answer = keyed.client.post("/detect", content=CLIP, headers={header: sent})
    check(answer, code)
    assert "secret-wrong" not in answer.text
    if code == "invalid_key":
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_key_comes_before_everything_else_of_a_request(keyed: Keyed) -> None:
    for path in ("/detect?threshold=high", "/detect?model=another", "/batch?channel=9"):
        check(keyed.client.post(path, content=b"not audio"), "missing_key")
    check(keyed.client.get("/models/another/versions/x"), "missing_key")


OPEN = {"/health/live", "/health/ready", "/", "/console/{name}", "/docs"}


def unguarded(app: FastAPI) -> set[str]:
    """Routes without a dependency that asks for a key."""
    ours = [
        route for part in (router, status.router, explain.router, pages.router, console.router) for route in part.routes
    ]
    routes = [route for route in (*app.routes, *ours) if isinstance(route, APIRoute)]
    return {
        route.path
        for route in routes
        if not any(d.call and d.call.__qualname__.startswith("needs.") for d in route.dependant.dependencies)
    }


def test_every_route_asks_for_a_key_or_is_listed_here(keyed: Keyed, tmp_path: Path) -> None:
    assert unguarded(keyed.client.app) == OPEN
    for path in (*(OPEN - {"/console/{name}"}), "/openapi.json", "/static-offline-docs/swagger-ui.css"):
        assert keyed.client.get(path, follow_redirects=True).status_code == 200
    app = create_app(settings(tmp_path))
    app.get("/new")(lambda: {})
    assert unguarded(app) == OPEN | {"/new"}  # one that is forgotten is seen


def test_without_a_file_the_service_is_open(client: Client) -> None:
    for method, path, request, _ in REQUESTS.values():
        answer = client.request(method, path, headers={"X-API-Key": "whatever"}, **request)
        assert answer.status_code == 200


# The file changes


def test_a_key_that_is_made_or_revoked_counts_at_once(keyed: Keyed) -> None:
    key, text = keys.make(keyed.path, client="late", scopes=("detect",))
    keyed.texts["late"] = text
    assert keyed.ask("POST", "/detect", "late", content=CLIP).status_code == 200
    keys.revoke(keyed.path, key.id)
    check(keyed.ask("POST", "/detect", "late", content=CLIP), "invalid_key")


def test_a_file_that_breaks_changes_nothing(keyed: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    whole = keyed.path.read_text()

    def stale() -> float:
        answer = keyed.ask("GET", "/metrics", "metrics")
        assert answer.status_code == 200
        return float(answer.text.split("\nbonafide_keys_stale ")[1].split()[0])

    for breaking in (lambda: keyed.path.write_text("{"), keyed.path.unlink):
        breaking()
        caplog.clear()
        assert keyed.ask("POST", "/detect", "detect", content=CLIP).status_code == 200
        check(keyed.client.post("/detect", content=CLIP), "missing_key")  # never open
        assert stale() == 1
        [told] = [record for record in caplog.records if "stay in force" in record.message]  # once, not each time
        assert told.levelname == "ERROR"
        keyed.path.write_text(whole)
        keyed.path.chmod(0o600)
        assert stale() == 0


def test_a_file_that_others_may_read_is_warned_of(keyed: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    for mode, warnings in ((0o640, 1), (0o604, 2), (0o600, 2)):
        keyed.path.chmod(mode)
        keyed.ask("GET", "/models", "detect")
        keyed.ask("GET", "/models", "detect")
        told = [record.levelname for record in caplog.records if "chmod 600" in record.message]
        assert told == warnings * ["WARNING"]


@pytest.mark.parametrize(("mode", "warnings"), [(0o640, 1), (0o600, 0)])
def test_the_file_to_begin_with_is_warned_of_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warnings: int
) -> None:
    path = tmp_path / "keys.json"
    keys.make(path, client="ivr", scopes=("detect",))
    path.chmod(mode)
    access.Keyring(path, Telemetry())
    assert sum("chmod 600" in record.message for record in caplog.records) == warnings


# Rates


def test_requests_and_audio_are_limited_by_client(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = [keys.make(path, client=c, scopes=("detect", "batch")) for c in ("few", "few", "short", "usual")]
    ids, texts = [key.id for key, _ in made], [text for _, text in made]
    change(
        path,
        clients={
            "few": {"requests_per_minute": 3, "audio_seconds_per_minute": 1e6},
            "short": {"requests_per_minute": 1e6, "audio_seconds_per_minute": 4},
        },
    )

    with serving(store, keys=path) as client:

        def detect(which: int) -> httpx.Response:
            return client.post("/detect", content=CLIP, headers={"X-API-Key": texts[which]})

        assert [detect(which).status_code for which in (0, 1, 0)] == [200, 200, 200]
        for which in (0, 1):  # two keys, one client: not twice as much
            refused = detect(which)
            assert "3 requests" in check(refused, "rate_limited")["detail"]
            assert 10 <= int(refused.headers["Retry-After"]) <= 20  # one comes every 20 s
        files = [("files", CLIP)] * 4
        assert client.post("/batch", files=files, headers={"X-API-Key": texts[2]}).status_code == 200  # 6 s, of 4
        refused = detect(2)
        check(refused, "rate_limited")
        assert 35 <= int(refused.headers["Retry-After"]) <= 45  # 2 s overdrawn and 1 s to go on, at 4 s a minute
        assert client.get("/models", headers={"X-API-Key": texts[2]}).status_code == 200
        assert detect(3).status_code == 200
        change(path, clients={"few": {"requests_per_minute": 60_000}})
        keys.make(path, client="other", scopes=("metrics",))
        assert detect(3).status_code == detect(0).status_code == 200  # as soon as the file says so
    found = {
        (sample.name, sample.labels["key"]): sample.value
        for family in client.app.state.telemetry.registry.collect()
        for sample in family.samples
        if "key" in sample.labels and sample.name.endswith("_total")
    }
    assert [found["bonafide_key_limited_total", ids[which]] for which in (0, 1, 2)] == [1, 1, 1]
    assert found["bonafide_key_requests_total", ids[1]] == 2
    assert found["bonafide_key_audio_seconds_total", ids[2]] == pytest.approx(6)
    assert found["bonafide_key_audio_seconds_total", ids[1]] == pytest.approx(1.5)


# What is written


def test_a_key_is_logged_and_counted_by_its_id(keyed: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    identity, _, secret = keyed.texts["detect"].partition(".")
    keyed.ask("POST", "/detect", "detect", content=CLIP)
    keyed.ask("POST", "/batch", "detect", files={"files": CLIP})
    unknown = "f" * 16 + "." + secret
    keyed.client.post("/detect", content=CLIP, headers={"X-API-Key": unknown})
    answer = keyed.ask("GET", "/metrics", "metrics")
    logged = [record.key for record in caplog.records if record.name == "bonafide" and hasattr(record, "key")]
    assert logged.count(identity) == 2
    written = "".join(str(record.__dict__) for record in caplog.records) + answer.text
    assert identity in written
    assert secret not in written
    assert "f" * 16 not in answer.text  # who asks cannot make labels
