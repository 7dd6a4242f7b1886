"""Requests made at random, and from the API's own document, get no answer that they should not."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from openapi.__main__ import DOCUMENT
from service.bodies import AUDIO_TYPES
from tests.hardening import fuzz, measure
from tests.hardening.barrage import FLAT, Report, barrage, judged
from tests.hardening.measure import Watched
from tests.serving import Client, serving

SEED = 7  # other requests than those of the document
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_headers_conformance, response_schema_conformance),
]


@pytest.fixture(scope="module")
def service(light_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    settings_ = {"store": light_store, "models": "light", "runtime": "onnx"}
    with measure.watched(tmp_path_factory.mktemp("watched"), **settings_) as found:
        yield found


def test_no_request_gets_an_answer_that_it_should_not(service: Watched) -> None:
    report = barrage(service, requests=400, seed=SEED)
    assert report.findings == []
    assert sum(report.answers.values()) == 400
    assert {"200", "400", "404", "405", "415", "422"} <= set(report.answers)  # it gets everywhere
    assert service.client.get("/health/ready").status_code == 200


def test_a_request_can_be_made_again() -> None:
    made = [fuzz.request(number, seed=SEED) for number in range(200)]
    assert made == [fuzz.request(number, seed=SEED) for number in range(200)]
    assert len(set(made)) > 190
    assert made != [fuzz.request(number, seed=SEED + 1) for number in range(200)]
    assert len({request.split(b" ", 1)[0] for request, _ in made}) > 5
    assert 5 < sum(not complete for _, complete in made) < 50


def test_an_answer_that_should_not_be_is_a_finding() -> None:
    assert judged(httpx.Response(500, text="a fault")) == "500: a fault"
    assert judged(httpx.Response(502)).startswith("502")
    assert judged(httpx.Response(404, text="Not Found")) == "404, text/plain; charset=utf-8"
    assert judged(httpx.Response(404), head=True) == ""  # which has no content
    assert judged(httpx.Response(200)) == judged(None) == ""
    report = Report(10, 0, 1, 0, rss_mb=[100.0, 103.0, 106.0])
    assert report.growth == pytest.approx(0.06)
    assert report.growth > FLAT


# From the document


@pytest.fixture(scope="module")
def light(light_store: Path) -> Iterator[Client]:
    with serving(light_store, models="light", runtime="onnx") as client:
        yield client


# Bodies: clips as they are, and bytes. Deferred, so that the clips are made when the first is asked for.
schemathesis.openapi.media_type(
    AUDIO_TYPES[0],
    st.binary(max_size=2_000) | st.deferred(lambda: st.sampled_from(fuzz.clips())),
    aliases=AUDIO_TYPES[1:],
)
schema = schemathesis.openapi.from_path(DOCUMENT)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_the_document_tells_every_answer(case: Case, light: Client) -> None:
    with requests.Session() as session:
        answer = case.call_and_validate(base_url=str(light.base_url), session=session, checks=CHECKS)
    event(f"{case.operation.label}: {answer.status_code}")
