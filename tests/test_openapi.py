"""The OpenAPI document: the app's, whole, true to what is answered, and shown without a network."""

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from openapi.__main__ import DOCUMENT, REQUEST_ID, text
from service import schemas
from service.access import ACCESS_PROBLEMS
from service.app import create_app
from service.problems import CODES, MEDIA_TYPE, Problem
from service.routes import NDJSON
from tests.serving import Client, settings
from tests.test_problems import REQUESTS

ANSWERS = {
    **dict.fromkeys(("telephone", "silence", "two_channels"), schemas.DetectResult),
    "batch": schemas.BatchResult,
    **dict.fromkeys(CODES, Problem),
}
MODEL = "/models/{family}/versions/{version}"
ROUTES = [
    *("/detect", "/batch", "/models", MODEL, "/health/live", "/health/ready", "/metrics"),
    *("/explain", "/waveform"),
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an app that has loaded nothing says."""
    return dict(create_app(settings(tmp_path_factory.mktemp("empty"))).openapi())


def test_the_file_is_the_apps(document: dict[str, Any]) -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text(document), "run `make openapi`"


def test_the_app_answers_with_it(client: Client, document: dict[str, Any]) -> None:
    assert client.get("/openapi.json").json() == document


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert list(document["paths"]) == ROUTES


def references(part: Any) -> list[str]:
    match part:
        case {"$ref": str(reference)}:
            return [reference]
        case dict():
            return [reference for value in part.values() for reference in references(value)]
        case list():
            return [reference for value in part for reference in references(value)]
    return []


def unresolved(document: dict[str, Any]) -> set[str]:
    """References to what is not there."""
    missing = set()
    for reference in references(document):
        part: Any = document
        for key in reference.removeprefix("#/").split("/"):
            part = part.get(key, {})
        if not part:
            missing.add(reference)
    return missing


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    assert unresolved(document) == set()
    broken = copy.deepcopy(document)
    del broken["components"]["examples"]["too_short"]
    assert unresolved(broken) == {"#/components/examples/too_short"}


@pytest.mark.parametrize("name", ANSWERS)
def test_examples_are_answers(document: dict[str, Any], name: str) -> None:
    value = document["components"]["examples"][name]["value"]
    # Read and written again the same: every field there, of its type, and none besides.
    assert ANSWERS[name].model_validate(value).model_dump(mode="json") == value
    assert value["request_id"] == REQUEST_ID
    if name in CODES:
        assert value["code"] == name


def test_examples_show_what_they_say(document: dict[str, Any]) -> None:
    shown = {name: example["value"] for name, example in document["components"]["examples"].items()}
    assert set(shown) == set(ANSWERS)
    assert shown["telephone"]["audio"]["format"] == "WAV/ULAW"
    assert (shown["silence"]["verdict"], shown["silence"]["reasons"][0]) == ("inconclusive", "silence")
    assert len(shown["two_channels"]["channels"]) == 2
    assert [item["result"] is None for item in shown["batch"]["results"]] == [False, True]


def documented(document: dict[str, Any], path: str, method: str) -> set[str]:
    """The codes that an operation may answer with, by the document."""
    answers = document["paths"][path][method.lower()]["responses"]
    found = set()
    for status, answer in answers.items():
        if MEDIA_TYPE in answer["content"]:
            assert set(answer["content"]) == {MEDIA_TYPE}
            assert answer["content"][MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}
            codes = set(answer["content"][MEDIA_TYPE]["examples"])
            assert {CODES[code][0] for code in codes} == {int(status)}
            found |= codes
    return found


def test_every_problem_that_a_route_answers_with_is_documented(document: dict[str, Any]) -> None:
    """Of the requests of test_problems, whose answers are checked there."""
    nowhere = {"not_found", "method_not_allowed"}  # of paths and methods that are no operation
    asked = {
        (re.sub(r"/models/.*", MODEL, path.partition("?")[0]), method, code)
        for code, method, path, _ in REQUESTS
        if code not in nowhere
    }
    assert len(asked) > len(CODES) / 2
    for path, method, code in asked:
        assert code in documented(document, path, method), (path, code)
    assert all(name in document["components"]["examples"] for name in nowhere)


@pytest.mark.parametrize(
    ("path", "method", "codes"),
    [
        ("/detect", "POST", set(CODES) - {"not_found", "method_not_allowed"}),
        ("/models", "GET", {"not_ready", "internal_error", *ACCESS_PROBLEMS}),
        ("/metrics", "GET", {"internal_error", *ACCESS_PROBLEMS}),
        ("/health/ready", "GET", {"not_ready", "internal_error"}),
        ("/health/live", "GET", {"internal_error"}),
    ],
)
def test_a_route_documents_its_problems(document: dict[str, Any], path: str, method: str, codes: set[str]) -> None:
    assert documented(document, path, method) == codes


def test_every_answer_has_a_request_id(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            assert all("X-Request-ID" in answer["headers"] for answer in operation["responses"].values())


def test_every_answer_has_its_other_headers(document: dict[str, Any]) -> None:
    others = {"401": "WWW-Authenticate", "403": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
    for path in document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                assert set(answer["headers"]) - {"X-Request-ID"} == ({others[status]} if status in others else set())


def test_every_answer_has_a_schema(document: dict[str, Any]) -> None:
    """Without one, generated clients drop the content."""
    for path in document["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                assert all(content["schema"] for content in answer["content"].values())


def test_a_key_is_described_where_one_may_be_asked_for(document: dict[str, Any]) -> None:
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    for path in ROUTES:
        for operation in document["paths"][path].values():
            asked = [] if path.startswith("/health/") else [{"bearer": []}, {"header": []}, {}]
            assert operation.get("security", []) == asked, path


def test_bodies_are_described(document: dict[str, Any]) -> None:
    detect = document["paths"]["/detect"]["post"]["requestBody"]
    assert detect["required"]
    assert {"multipart/form-data", "audio/wav", "audio/basic", "audio/L16"} <= set(detect["content"])
    assert list(document["paths"]["/batch"]["post"]["requestBody"]["content"]) == ["multipart/form-data"]
    assert NDJSON in document["paths"]["/batch"]["post"]["responses"]["200"]["content"]


# The page


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def external(page: str) -> list[str]:
    """Addresses on other hosts, in attributes or in scripts."""
    return re.findall(r"""["'(](?:https?:)?//[^"')]+""", page)


def test_the_pages_work_without_a_network(client: Client) -> None:
    page = client.get("/docs")
    addresses = Addresses()
    addresses.feed(page.text)
    assert len(addresses.found) >= 3
    for address in [*addresses.found, "/openapi.json"]:
        assert client.get(address).status_code == 200
    assert "'/openapi.json'" in page.text
    assert external(page.text) == []
    assert external('<script src="https://cdn.example/x.js">') == ['"https://cdn.example/x.js']


def test_the_examples_file_is_what_the_document_shows(document: dict[str, Any]) -> None:
    file = Path(schemas.__file__).parent / "examples.json"
    assert json.loads(file.read_text(encoding="utf-8")) == document["components"]["examples"]
