"""docs/hardening.md: the rows and what they came to."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile

from benchmarks import machine
from tests.hardening.barrage import Report
from tests.hardening.rows import ELSEWHERE, ROWS, Elsewhere, Row

DOCUMENT = Path(__file__).parents[2] / "docs/hardening.md"
FIGURES = DOCUMENT.with_suffix(".json")
MODEL = "duo"

_HEADER = """# What was tried against the service

Written by `make hardening`; a test keeps its rows and answers current. Each attack is first tried on the call that
anybody would write, in a process with 2 GB, and then sent to `python -m service` with its default settings and the
model `{model}`. Its time and memory are read from /proc: the processor time of all its threads, and the most that it
held (VmHWM) over what it held before. By {versions}, on {machine}.

## What is one request

| attack | the call | what the call does | this service answers | wall ms | CPU ms | growth MB |
|---|---|---|---|--:|--:|--:|
"""
_ELSEWHERE = """
## What takes more than a request

| attack or fault | by default | promise | tests |
|---|---|---|---|
"""


def conditions() -> dict[str, Any]:
    """What is measured, and on what."""
    names = ("soundfile", "fastapi", "starlette", "uvicorn", "keras")
    found = machine.describe()
    return {
        "model": MODEL,
        "machine": f"{found['cores'].partition(',')[0]} cores of {found['CPU']}",
        "versions": {
            **{name: version(name) for name in names},
            "libsndfile": soundfile.__libsndfile_version__,
            "Python": platform.python_version(),
        },
    }


def first_cells(row: Row) -> list[str]:
    """What a row always says."""
    return [row.attack, row.call, row.default, row.answer]


def second_cells(row: Elsewhere) -> list[str]:
    """What a row that other tests hold says."""
    return [row.attack, row.default, row.promise, ", ".join(f"`{test}`" for test in row.tests)]


def written(found: dict[str, Any]) -> str:
    """The document of what was measured."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    text = _HEADER.format(model=found["model"], versions=versions, machine=found["machine"])
    for row in ROWS:
        one = found["rows"][row.name]
        cpu_ms = 1e3 * one["cpu_seconds"]  # which the kernel counts by 10
        figures = [f"{1e3 * one['wall_seconds']:.0f}", f"{cpu_ms:.0f}" if cpu_ms >= 10 else "< 10"]
        text += _line([*first_cells(row), *figures, f"{one['growth_mb']:.0f}"])
    text += _ELSEWHERE + "".join(_line(second_cells(row)) for row in ELSEWHERE)
    text += "\n## Requests made at random\n"
    for part, what in (
        ("fuzz", "Damaged audio of {formats} formats, forms, parameters, paths, and damaged HTTP; seed {seed}."),
        ("soak", "The same, half of it clips that are scored; seed {seed}."),
    ):
        report = Report(**found[part])
        command = f"`python -m tests.hardening {part} --requests {report.requests}`"
        text += f"\n{command}: {what.format(formats=report.formats, seed=report.seed)} {report.sentence()}\n"
    return text


def tables(text: str) -> list[list[str]]:
    """The cells of every row of a document's tables, but for their heads."""
    rows = [line.strip("|\n").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if not row[0].strip().startswith("attack")]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
