"""docs/hardening.md is true: each attack works on the call that it names, and fails here, and the document says so."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.hardening import attacks, document, measure
from tests.hardening.attacks import Sent
from tests.hardening.measure import Watched, misshapen, told
from tests.hardening.rows import ELSEWHERE, ROWS, Row

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def defaults() -> dict[str, str]:
    return measure.unprotected()


@pytest.fixture(scope="module")
def service(light_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A process of its own, warm."""
    settings = {"store": light_store, "models": "light", "runtime": "onnx", "deadline_seconds": 60}
    with measure.watched(tmp_path_factory.mktemp("watched"), **settings) as found:
        yield found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_attack_works_elsewhere_and_fails_here(row: Row, defaults: dict[str, str], service: Watched) -> None:
    assert defaults[row.name] == row.default
    found = service.ask(row.send())
    assert found.answer == row.answer
    assert found.cpu_seconds < row.cpu_seconds
    assert found.growth_mb < row.growth_mb


def test_what_it_costs_is_seen_from_outside(service: Watched) -> None:
    """A request that does cost something: ten minutes of audio, as the limits allow."""
    found = service.ask(Sent(attacks.constant_flac(seconds=590, sample_rate=16_000, channels=2)))
    assert found.answer == "200, 2 channels scored, as silence"
    assert found.cpu_seconds > 0.1
    assert found.growth_mb > 70  # the samples alone


def test_an_error_of_another_shape_is_seen(service: Watched) -> None:
    answer = service.client.get("/nowhere")
    assert (told(answer), misshapen(answer)) == ("404 not_found", "")
    problem = answer.json()
    assert "another status" in misshapen(_answer(500, problem))
    assert "another shape" in misshapen(_answer(404, {**problem, "more": 1}))
    assert "another shape" in misshapen(_answer(404, {**problem, "code": "new"}))
    assert "another request" in misshapen(_answer(404, problem, request_id="x"))
    assert misshapen(httpx.Response(404, text="Not Found")) == "404, text/plain; charset=utf-8"


def _answer(status: int, problem: dict[str, object], request_id: str | None = None) -> httpx.Response:
    headers = {"X-Request-ID": request_id or str(problem["request_id"]), "Content-Type": "application/problem+json"}
    return httpx.Response(status, content=json.dumps(problem), headers=headers)


# The document


def test_the_document_has_these_rows_with_these_answers() -> None:
    figures = json.loads(document.FIGURES.read_text(encoding="utf-8"))
    assert document.DOCUMENT.read_text(encoding="utf-8") == document.written(figures), "run `make hardening`"
    rows = document.tables(document.DOCUMENT.read_text(encoding="utf-8"))
    assert [row[:4] for row in rows if len(row) == 7] == [document.first_cells(row) for row in ROWS]
    assert [row for row in rows if len(row) == 4] == [document.second_cells(row) for row in ELSEWHERE]
    assert {name: one["answer"] for name, one in figures["rows"].items()} == {row.name: row.answer for row in ROWS}
    for row in ROWS:  # as measured with the model that ships
        assert figures["rows"][row.name]["cpu_seconds"] < row.cpu_seconds
        assert figures["rows"][row.name]["growth_mb"] < row.growth_mb
    assert figures["fuzz"]["findings"] == figures["soak"]["findings"] == []
    assert figures["fuzz"]["requests"] >= 10_000
    assert figures["soak"]["requests"] >= 20_000
    changed = document.written(
        figures | {"rows": {**figures["rows"], "nan": figures["rows"]["nan"] | {"growth_mb": 9e9}}}
    )
    assert changed != document.DOCUMENT.read_text(encoding="utf-8")


def test_the_tests_that_it_names_are_there() -> None:
    def missing(name: str) -> bool:
        file, _, test = name.partition("::")
        path = TESTS / file
        return not (path.exists() and re.search(rf"^def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE))

    named = [test for row in ELSEWHERE for test in row.tests]
    assert len(named) == len(set(named)) >= len(ELSEWHERE)
    assert [test for test in named if missing(test)] == []
    assert missing("test_audio.py::test_nothing_of_this_name")


def test_every_row_is_one_line_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in (*ROWS, *ELSEWHERE):
        assert not any("|" in str(value) for value in dataclasses.astuple(row)), row
