"""What every answer tells a browser, whoever made the answer: a route, the router, a middleware or a fault."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_store.detector import Detector
from service.middleware import SECURITY_HEADERS
from tests.serving import Client, serving
from tests.signals import clip, speech
from tests.test_openapi import Addresses
from tests.test_problems import check

CLIP = clip(speech(seconds=1, sample_rate=8_000), sample_rate=8_000)
STATIC = "/static-offline-docs/swagger-ui.css"


def missing(answer: httpx.Response) -> set[str]:
    return {name for name, value in SECURITY_HEADERS.items() if answer.headers.get(name) != value}


@pytest.mark.parametrize(
    ("method", "path", "status", "request_"),
    [
        ("POST", "/detect", 200, {"content": CLIP}),
        ("POST", "/batch", 200, {"files": {"files": CLIP}, "headers": {"Accept": "application/x-ndjson"}}),
        ("GET", "/health/live", 200, {}),
        ("GET", "/metrics", 200, {}),
        ("GET", "/openapi.json", 200, {}),
        ("GET", STATIC, 200, {}),
        ("GET", "/models/", 404, {}),
        ("POST", "/batch", 400, {"content": CLIP}),
        ("GET", STATIC, 400, {"headers": {"Range": "bytes=5-2"}}),
        ("GET", STATIC, 400, {"headers": {"Range": "bytes=99999999-"}}),
        ("GET", "/nowhere", 404, {}),
        ("GET", "/static-offline-docs/nothing.js", 404, {}),
        ("GET", "/static-offline-docs/../service/keys.py", 404, {}),
        ("GET", "/static-offline-docs/%2e%2e/core.py", 404, {}),
        ("GET", "/detect", 405, {}),
        ("HEAD", "/detect", 405, {}),
        ("TRACE", "/detect", 405, {}),
        ("POST", STATIC, 405, {}),
        ("POST", "/docs", 405, {}),
        ("POST", "/detect", 415, {"content": b"not audio"}),
        ("POST", "/detect?channel=9", 422, {"content": CLIP}),
    ],
)
def test_every_answer_has_them(client: Client, method: str, path: str, status: int, request_: dict[str, Any]) -> None:
    answer = client.request(method, path, **request_)
    assert answer.status_code == status
    assert missing(answer) == set()
    if status >= 400 and method != "HEAD":
        check(answer, answer.json()["code"])


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/health/ready", "/models", "/metrics", "/openapi.json", STATIC, "/nowhere"]
)
def test_head_is_answered_as_get_without_a_body(client: Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.headers.keys(), head.content) == (got.status_code, got.headers.keys(), b"")
    assert client.get("/health/live").json() == {"status": "alive"}  # and the connection goes on


def test_middleware_and_faults_have_them(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store, max_body_bytes=40_000) as client:
        answer = client.post("/detect", content=bytes(50_000))
        check(answer, "body_too_large")
        assert missing(answer) == set()
        monkeypatch.setattr(Detector, "logits", lambda *_: 1 / 0)
        answer = client.post("/detect", content=CLIP)
        check(answer, "internal_error")
        assert missing(answer) == set()
        del answer.headers["X-Frame-Options"]
        assert missing(answer) == {"X-Frame-Options"}  # one that is not there is seen


def blocked(page: str, policy: str) -> list[str]:
    """What of a page its policy does not allow."""
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    found = [f"script {value}" for value in hashes if f"'sha256-{value}'" not in rules["script-src"]]
    found += re.findall(r"\son[a-z]+=", page)  # handlers in attributes, which a hash does not allow
    addresses = Addresses()
    addresses.feed(page)
    return found + [address for address in addresses.found if not re.match("/[^/]", address)]


def test_the_page_works_under_its_policy(client: Client) -> None:
    answer = client.get("/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert missing(answer) == {"Content-Security-Policy"}  # it has its own
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    assert "'unsafe-eval'" not in policy
    assert {"default-src 'none'", "frame-ancestors 'none'", "connect-src 'self'"} <= set(policy.split("; "))
    assert "<script>" in answer.text
    assert blocked(answer.text, policy) == []
    assert len(blocked(answer.text.replace("BaseLayout", "Other"), policy)) == 1  # another script is not run
    assert blocked('<img src="//elsewhere/x.png" onerror="f()">', policy) == [" onerror=", "//elsewhere/x.png"]
